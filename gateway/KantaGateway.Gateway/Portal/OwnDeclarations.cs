using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Portal;

/// <summary>What the citizen has declared and what follows from it now.</summary>
/// <param name="Informed">The confirmation of the informing text now in force; null when there is none, or one of an older text only.</param>
/// <param name="Permission">The disclosure permission in force.</param>
/// <param name="Denials">Those in force, newest first.</param>
/// <param name="DeniesAll">Whether everything is denied, by a denial or by what nobody can read.</param>
/// <param name="Unreadable">Ids of Consents that are no declaration of ours, empty of one that no search finds; each is taken for a denial of everything.</param>
/// <param name="Accesses">What professionals have recorded of their own access, newest first.</param>
/// <param name="All">Everything that can be read, in force or not.</param>
/// <param name="HasJoint">Whether there are public providers that see each other's records without a permission (§54.1).</param>
internal sealed record DeclarationState(
    Informing? Informed, DisclosurePermit? Permission, IReadOnlyList<DisclosureDenial> Denials, bool DeniesAll, IReadOnlyList<string> Unreadable, IReadOnlyList<RecordedAccess> Accesses,
    IReadOnlyList<Declaration> All, bool HasJoint = false)
{
    public static readonly DeclarationState None = new(null, null, [], false, [], [], []);

    /// <summary>Ids of the Consents, and of answers to requests for rectification, that the citizen has said to have read of.</summary>
    public IReadOnlySet<string> Acknowledged { get; init; } = new HashSet<string>();

    /// <summary>What desks have recorded for the citizen (§58), newest first.</summary>
    public IEnumerable<Declaration> AtDesks => All.Where(static d => d is Informing or DisclosurePermit or DisclosureDenial && d.RecordedBy is not null).OrderByDescending(static d => d.Order);

    /// <summary>Of that what the citizen has not acknowledged.</summary>
    public IEnumerable<Declaration> NewAtDesks => AtDesks.Where(d => !Acknowledged.Contains(d.Id));

    /// <summary>Whether what a declaration says is what holds of the same now: a form that is older than what was said since is stored and does not.</summary>
    public bool Holds(Declaration declaration) => declaration switch
    {
        DisclosurePermit permit => permit.IsActive ? Permission?.Id == permit.Id : Permission is null,
        DisclosureDenial denial => denial.IsActive ? Denials.Any(its => its.Id == denial.Id) : !Denials.Any(its => its.Target == denial.Target),
        Informing told => told.IsActive == (Informed is not null),
        _ => true,
    };

    /// <summary>The version of the text with which the person had been informed when it was declared; null: not known.</summary>
    public string? InformingOf(Declaration declaration) => All.OfType<Informing>().Where(i => i.IsActive && i.At <= declaration.At).MaxBy(i => i.At)?.TextVersion;

    /// <summary>Key of the sentence that sums it up. Follows the order of the decision: whatever is missing leaves the own register.</summary>
    public string Sentence => (DeniesAll, Informed is not null && Permission is not null, Denials.Count) switch
    {
        (true, _, _) => "state.denied-all",
        (_, false, _) => HasJoint ? "state.own-only.joint" : "state.own-only",
        (_, _, 0) => "state.permitted",
        _ => "state.permitted-some",
    };
}

/// <summary>What a professional has recorded of the own access to the citizen's data: a confirmation (§26.2) or an emergency (§54.2).</summary>
/// <param name="Reason">Of an emergency, in the professional's words.</param>
/// <param name="Review">How an emergency was settled; null: not yet, or it is none.</param>
/// <param name="IsNew">An emergency whose notice the citizen has not acknowledged.</param>
internal sealed record RecordedAccess(AccessRecord Record, string? Reason, EmergencyReview? Review, bool IsNew);

/// <summary>The citizen's declarations of will, read and written as FHIR Consents through the same steps as every request.</summary>
/// <remarks>Act 703/2023 §54, §58, §59, §68. Whether a declaration is allowed is decided in step 3, not here.</remarks>
internal sealed class OwnDeclarations(IInnerRequests requests, IWhoSeesWhat sees, IdentifierCipher ids, PrintedDeclarations prints, GatewayOptions options, TimeProvider time)
{
    /// <inheritdoc cref="DeclarationState.HasJoint"/>
    public bool HasJoint => options.JointControllers.Count > 0;

    /// <summary>
    /// What is declared and what of it is in force: by the very policy that decisions rest on, so that a page never says another thing than what is done. The Consents
    /// themselves are read for their words, and so that it is on record that they were shown.
    /// </summary>
    /// <returns>Nothing for custodians, to whom declarations are not shown (§51).</returns>
    /// <exception cref="RefusedException">The declarations could not be read.</exception>
    public async Task<DeclarationState> ReadAsync(Requester citizen, CancellationToken cancel)
    {
        if (citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian })
            return DeclarationState.None;
        var unreadable = new List<string>();
        var reasons = new Dictionary<string, string?>(StringComparer.Ordinal);
        var form = Encoding.ASCII.GetBytes($"patient={PatientId(citizen)}&_count=200");
        var answer = await requests.SendAsync(citizen, "POST", "Consent/_search", form, "application/x-www-form-urlencoded", cancel: cancel);
        while (true)
        {
            var bundle = FhirAnswers.Success(answer);
            foreach (var consent in bundle.Each("entry").Select(e => e.At("resource")).OfType<JsonElement>())
                if (Declarations.Read(consent) is { } declaration)
                {
                    if (declaration is EmergencyAccess)
                        reasons[declaration.Id] = Declarations.ReasonTextOf(consent);
                }
                else
                    unreadable.Add(consent.String("id") ?? "");
            if (FhirAnswers.NextPage(bundle) is not { } next)
                break;
            answer = await requests.SendAsync(citizen, "GET", next, cancel: cancel);
        }
        var now = time.GetUtcNow();
        var policy = await sees.PolicyAsync(citizen, cancel);
        var (state, declarations) = (policy.At(now), policy.Declarations);
        // What names nobody as its patient denies all like anything unreadable, and no search for this person finds it.
        if (state.Denied.DeniesAll && unreadable.Count == 0 && !state.Denials.Any(static denial => denial.Target is DenialTarget.All))
            unreadable.Add("");
        var acknowledged = declarations.OfType<Acknowledgement>().Where(a => a.IsActive).Select(a => a.Notice).ToHashSet(StringComparer.Ordinal);
        return new(state.IsInformed ? declarations.OfType<Informing>().Where(i => i.IsCurrent).MaxBy(i => i.Order) : null, state.Permission, state.Denials, state.Denied.DeniesAll, unreadable,
        [
            .. declarations.OfType<AccessRecord>().Where(r => r is not EmergencyReview).OrderByDescending(r => r.At).Select(r => new RecordedAccess(
                r, reasons.GetValueOrDefault(r.Id), r is EmergencyAccess ? state.ReviewOf(r.Id) : null, r is EmergencyAccess && !acknowledged.Contains(r.Id))),
        ], declarations, HasJoint)
        {
            Acknowledged = acknowledged,
        };
    }

    public Task InformedAsync(Requester citizen, CancellationToken cancel)
    {
        var informing = new Informing { At = time.GetUtcNow(), TextVersion = Informing.CurrentTextVersion };
        return CreateAsync(citizen, Printable(citizen, Declarations.Informing(PatientId(citizen), informing.At), informing, null), cancel);
    }

    public Task PermitAsync(Requester citizen, CancellationToken cancel)
    {
        var permit = new DisclosurePermit { At = time.GetUtcNow() };
        return CreateAsync(citizen, Printable(citizen, Declarations.Permit(PatientId(citizen), permit.At), permit, null), cancel);
    }

    /// <param name="what">The target in words, for its printed form.</param>
    public Task DenyAsync(Requester citizen, DenialTarget target, bool allowsEmergency, string what, CancellationToken cancel)
    {
        var denial = new DisclosureDenial { At = time.GetUtcNow(), Target = target, AllowsEmergency = allowsEmergency };
        return CreateAsync(citizen, Printable(citizen, Declarations.Denial(PatientId(citizen), target, denial.At, allowsEmergency), denial, what), cancel);
    }

    /// <summary>The citizen has read the notice of an emergency, or of what a desk recorded.</summary>
    public Task AcknowledgeAsync(Requester citizen, Declaration notice, CancellationToken cancel) =>
        CreateAsync(citizen, Declarations.Acknowledged(PatientId(citizen), notice.Id, time.GetUtcNow()), cancel);

    /// <summary>The citizen has read the answer to a request for rectification.</summary>
    /// <param name="answer">FHIR id of its Communication.</param>
    public Task AcknowledgeAnswerAsync(Requester citizen, string answer, CancellationToken cancel) =>
        CreateAsync(citizen, Declarations.AcknowledgedAnswer(PatientId(citizen), answer, time.GetUtcNow()), cancel);

    /// <summary>
    /// Withdraws a permission or a denial; one that is withdrawn already stays so. What was recorded at a desk lies in that organisation's register, which nobody
    /// else writes to: there a new declaration withdraws it (§58: revocable, in the citizen's own service).
    /// </summary>
    /// <param name="what">What a denial covers, in words, for its printed form.</param>
    /// <exception cref="RefusedException">It does not exist, or has changed in between: nothing was withdrawn.</exception>
    public async Task WithdrawAsync(Requester citizen, Declaration declaration, string? what, CancellationToken cancel)
    {
        if (declaration.RecordedBy is not null)
        {
            await WithdrawAnewAsync(citizen, declaration, what, cancel);
            return;
        }
        var read = await requests.SendAsync(citizen, "GET", $"Consent/{declaration.Id}", cancel: cancel);
        var consent = FhirAnswers.Success(read);
        var headers = new HeaderDictionary { [HeaderNames.IfMatch] = read.Headers.ETag };
        var answer = await requests.SendAsync(citizen, "PUT", $"Consent/{declaration.Id}", Printable(citizen, Declarations.Withdrawn(consent), declaration with { IsActive = false }, what), headers: headers, cancel: cancel);
        FhirAnswers.RequireSuccess(answer);
    }

    /// <summary>Withdraws the permission without looking whether there is one: for who is not shown what has been declared (§51), and may give it.</summary>
    public Task WithdrawPermissionAsync(Requester citizen, CancellationToken cancel) => WithdrawAnewAsync(citizen, new DisclosurePermit { At = time.GetUtcNow() }, null, cancel);

    /// <summary>By a declaration of its own, which is the citizen's and not the desk's that it withdraws something of.</summary>
    private async Task WithdrawAnewAsync(Requester citizen, Declaration declaration, string? what, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var own = declaration with { Id = "", At = now, From = null, Until = null, RecordedBy = null, IsSigned = false, IsActive = false };
        using var given = JsonDocument.Parse(declaration is DisclosureDenial denial ? Declarations.Denial(PatientId(citizen), denial.Target, now, denial.AllowsEmergency) : Declarations.Permit(PatientId(citizen), now));
        await CreateAsync(citizen, Printable(citizen, Declarations.Withdrawn(given.RootElement, declaration.Id.Length == 0 ? null : declaration.Id), own, what), cancel);
    }

    /// <summary>With who declares it and the form in which it can be printed (§58), in the language in which it was declared.</summary>
    private byte[] Printable(Requester citizen, byte[] consent, Declaration declaration, string? what) => Declarations.Printable(consent, prints.Narrative(
        prints.Of(declaration, what, Informing.CurrentTextVersion, time.GetUtcNow())!, citizen.OnBehalfOf?.Name ?? citizen.CitizenName, citizen.OnBehalfOf is null ? null : citizen.CitizenName),
        citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian } ? citizen.CitizenName ?? "" : null);

    private async Task CreateAsync(Requester citizen, byte[] consent, CancellationToken cancel) =>
        FhirAnswers.RequireSuccess(await requests.SendAsync(citizen, "POST", "Consent", consent, cancel: cancel));

    private string PatientId(Requester citizen) =>
        ids.PatientId(citizen.Person ?? throw new InvalidOperationException("A citizen's session names no person."));
}
