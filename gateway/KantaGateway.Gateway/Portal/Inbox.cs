using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Portal;

/// <summary>What a message is about.</summary>
internal enum MessageKind
{
    /// <summary>Data was taken (GDPR Art. 34).</summary>
    Breach,

    /// <summary>A professional recorded an emergency (Act 703/2023 §54.2; EHDS Art. 11(5)).</summary>
    Emergency,

    /// <summary>An emergency was looked into.</summary>
    Review,

    /// <summary>A desk recorded a declaration for the person (§58).</summary>
    Recorded,

    /// <summary>A disputed access was looked into.</summary>
    Dispute,

    /// <summary>A controller answered a request for rectification (GDPR Art. 12(3)-(4)).</summary>
    Rectification,
}

/// <summary>Something that the citizen is told.</summary>
/// <param name="Id">Of what it is about: of the Consent, of the Communication that answers, or of the notice.</param>
/// <param name="IsNew">The citizen has not said to have read it.</param>
/// <param name="Title">In words.</param>
/// <param name="Address">Of the page that tells all of it.</param>
internal sealed record Message(MessageKind Kind, string Id, DateTimeOffset At, bool IsNew, string Title, string Address)
{
    /// <summary>Whether the citizen says so of it here. The notice of a breach is read by opening it.</summary>
    public bool IsSaidToBeRead => IsNew && Kind is not MessageKind.Breach;
}

/// <summary>All messages that could be had.</summary>
/// <param name="Messages">Newest first.</param>
/// <param name="State">The declarations of which most of them come; null: the record cannot be asked now.</param>
/// <param name="Notices">The notices of breaches; null: they cannot be told now.</param>
internal sealed record InboxContent(IReadOnlyList<Message> Messages, DeclarationState? State, IReadOnlyList<NoticeStanding>? Notices);

/// <summary>
/// One list of what the citizen is told: it keeps nothing of its own. What is new follows from what she has said to have read, which stands in her record, and from the notices that she has opened. A source that is away hides no other.
/// </summary>
internal sealed class Inbox(OwnDeclarations declarations, Rectifications rectifications, DisputeStandings disputes, OrganisationNames names, IServiceProvider services, Texts texts)
{
    /// <exception cref="RefusedException">The record refuses; nothing is away.</exception>
    public async Task<InboxContent> ReadAsync(Requester citizen, CancellationToken cancel)
    {
        // What is told of a child is not shown to custodians (§51); for them the state says nothing either.
        var notices = citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian } ? [] : NoticesOf(citizen);
        DeclarationState? state = null;
        IReadOnlyList<RectificationRequest> asked = [];
        try
        {
            asked = await AskedAsync(citizen, cancel);
            state = await declarations.ReadAsync(citizen, cancel);
        }
        catch (Exception failure) when (IsOutage(failure))
        {
            // Null says so.
        }
        return new([.. (notices ?? []).Select(Of).Concat(state is null ? [] : Of(state, asked)).OrderByDescending(static one => one.At)], state, notices);
    }

    /// <summary>The citizen has read a message.</summary>
    /// <returns>False: there is none of that id that could be said to be read.</returns>
    /// <exception cref="RefusedException">It could not be kept.</exception>
    public async Task<bool> AcknowledgeAsync(Requester citizen, string id, CancellationToken cancel)
    {
        var state = await declarations.ReadAsync(citizen, cancel);
        if (state.All.FirstOrDefault(declaration => declaration.Id == id) is { } about)
        {
            if (!Of(state, []).Any(message => message.Id == id && message.IsSaidToBeRead))
                return false;
            await declarations.AcknowledgeAsync(citizen, about, cancel);
            return true;
        }
        if (!Of(state, await AskedAsync(citizen, cancel)).Any(message => message.Id == id && message.IsSaidToBeRead))
            return false;
        await declarations.AcknowledgeAnswerAsync(citizen, id, cancel);
        return true;
    }

    /// <summary>Whether something is away rather than refused: a page then shows the rest.</summary>
    public static bool IsOutage(Exception failure) => failure switch
    {
        FaultException fault => FaultTable.Of(fault.Fault.Kind).Status >= StatusCodes.Status500InternalServerError,
        RefusedException refused => refused.Status >= StatusCodes.Status500InternalServerError,
        _ => failure is SharedStateException,
    };

    /// <summary>What she has asked controllers to rectify: nothing to custodians (§51), and to an app that is not let read Communications.</summary>
    private async Task<IReadOnlyList<RectificationRequest>> AskedAsync(Requester citizen, CancellationToken cancel)
    {
        if (citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian })
            return [];
        try
        {
            return await rectifications.ListAsync(citizen, cancel);
        }
        catch (RefusedException refused) when (refused.Status == StatusCodes.Status403Forbidden && citizen.ClientId != PortalSessions.ClientId)
        {
            return [];
        }
    }

    private IReadOnlyList<NoticeStanding>? NoticesOf(Requester citizen)
    {
        try
        {
            return services.GetService<BreachNotices>()?.Of(citizen.Person!.Value) ?? [];
        }
        catch (IOException)
        {
            return null;
        }
    }

    private Message Of(NoticeStanding sent) => new(MessageKind.Breach, sent.Notice.Id, sent.Notice.SentAt, sent.ReadAt is null, texts["inbox.breach"], $"/notices/{sent.Notice.Id}");

    private IEnumerable<Message> Of(DeclarationState state, IReadOnlyList<RectificationRequest> asked)
    {
        foreach (var access in state.Accesses)
            if (access.Record is EmergencyAccess emergency)
            {
                yield return new(MessageKind.Emergency, emergency.Id, emergency.At, access.IsNew, texts["inbox.emergency", names.Of(emergency.Organisation)], Pages.SpecialAccessModel.Address);
                if (access.Review is { } review)
                    yield return new(MessageKind.Review, review.Id, review.At, !state.Acknowledged.Contains(review.Id), texts[review.IsJustified ? "inbox.review.justified" : "inbox.review.unjustified", names.Of(emergency.Organisation)], Pages.SpecialAccessModel.Address);
            }
        foreach (var recorded in state.AtDesks)
            yield return new(MessageKind.Recorded, recorded.Id, recorded.StoredAt ?? recorded.At, !state.Acknowledged.Contains(recorded.Id),
                texts["inbox.recorded", texts[recorded switch { Informing => "print.informing", DisclosurePermit => "print.permit", _ => "print.denial" }], names.Of(recorded.RecordedBy!)], $"/consent/print?id={recorded.Id}");
        foreach (var dispute in disputes.Of(state.All))
            if (dispute.End is { } end)
                yield return new(MessageKind.Dispute, dispute.Restriction.Id, end.At, !state.Acknowledged.Contains(dispute.Restriction.Id), texts["inbox.dispute", names.Of(dispute.Restriction.Organisation)], Pages.DisputesModel.Address);
        foreach (var request in asked)
            if (request is { AnswerId: { } answer, AnsweredAt: { } at })
                yield return new(MessageKind.Rectification, answer, at, !state.Acknowledged.Contains(answer), texts[request.State == RectificationState.Delayed ? "inbox.rectification.delayed" : "inbox.rectification", names.Of(request.Asked.Controller)], Pages.RectificationsModel.Address);
    }
}
