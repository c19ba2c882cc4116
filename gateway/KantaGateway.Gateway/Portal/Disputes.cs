using System.Globalization;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Portal;

/// <summary>A disputed access and how far it is.</summary>
/// <param name="AnswerBy">When the citizen is answered at the latest.</param>
/// <param name="End">How it was settled; null: it is not.</param>
internal sealed record Dispute(AccessRestriction Restriction, DateTimeOffset AnswerBy, DisputeEnd? End)
{
    /// <summary>Whether whoever had the access is shown nothing meanwhile.</summary>
    public bool Holds => Restriction.IsActive && End is null;
}

/// <summary>
/// "I was not there": the citizen disputes an access to her record. From the answer on whoever had it is shown nothing of the record, on every gateway, since it stands in the record (<see cref="AccessRestriction"/>), and a breach case
/// is open. It ends when two operators have settled it with an answer to her, or she takes it back.
/// </summary>
internal sealed class Disputes(IAccessLog log, IInnerRequests requests, IWhoSeesWhat sees, IdentifierCipher ids, GatewayOptions options, TimeProvider time, IServiceProvider services)
{
    private static readonly SemaphoreSlim Turn = new(1);

    /// <summary>Disputes an entry of the audit log; again, it is the same dispute.</summary>
    /// <returns>Null: it is no access of a place of care to the citizen's record. Nothing was stored.</returns>
    /// <exception cref="RefusedException">The record did not take it.</exception>
    /// <exception cref="Fhir.Outcomes.FaultException">The log, the key service or the repository cannot be reached.</exception>
    public async Task<Dispute?> DisputeAsync(Requester citizen, long entry, CancellationToken cancel)
    {
        if (await log.ProveAsync(citizen, entry, cancel) is not { Line: { IsOfCare: true } line })
            return null;
        // One at a time: the same entry from two windows is one case.
        await Turn.WaitAsync(cancel);
        try
        {
            if ((await ListAsync(citizen, cancel)).FirstOrDefault(one => one.Restriction.Entry == entry && one.Restriction.IsActive) is not { } dispute)
            {
                var restriction = new AccessRestriction { At = time.GetUtcNow(), Organisation = line.OrganisationOid, Unit = line.Unit, Entry = entry };
                var answer = await requests.SendAsync(citizen, "POST", "Consent", Declarations.Restriction(ids.PatientId(citizen.Person!.Value), restriction), cancel: cancel);
                FhirAnswers.RequireSuccess(answer);
                // :: In force from here on (law 3).
                dispute = new(restriction with { Id = answer.Headers.Location.ToString().Split("/Consent/")[1].Split('/')[0] }, AnswerByOf(restriction), null);
            }
            await OpenCaseAsync(dispute);
            return dispute;
        }
        finally
        {
            Turn.Release();
        }
    }

    /// <summary>All of the citizen's, newest first.</summary>
    /// <exception cref="Fhir.Outcomes.FaultException">They cannot be read.</exception>
    public async Task<IReadOnlyList<Dispute>> ListAsync(Requester citizen, CancellationToken cancel)
    {
        var ends = services.GetService<Approvals>()?.Current.DisputeEnds;
        return [.. (await sees.PolicyAsync(citizen, cancel)).Declarations.OfType<AccessRestriction>().OrderByDescending(static one => one.Order)
            .Select(one => new Dispute(one, AnswerByOf(one), ends?.GetValueOrDefault(one.Id)))];
    }

    /// <summary>Takes a dispute back. Its case stays open until two have ended it.</summary>
    /// <returns>False: there is none that holds.</returns>
    /// <exception cref="RefusedException">It changed in between: it holds as before.</exception>
    public async Task<bool> TakeBackAsync(Requester citizen, string id, CancellationToken cancel)
    {
        if (!(await ListAsync(citizen, cancel)).Any(one => one.Restriction.Id == id && one.Restriction.IsActive))
            return false;
        var read = await requests.SendAsync(citizen, "GET", $"Consent/{id}", cancel: cancel);
        var headers = new HeaderDictionary { [HeaderNames.IfMatch] = read.Headers.ETag };
        FhirAnswers.RequireSuccess(await requests.SendAsync(citizen, "PUT", $"Consent/{id}", Declarations.Withdrawn(FhirAnswers.Success(read)), headers: headers, cancel: cancel));
        return true;
    }

    private DateTimeOffset AnswerByOf(AccessRestriction restriction) => (restriction.StoredAt ?? restriction.At).AddDays((options.Breach ?? new() { CaseFolder = "" }).DisputeAnswerDays);

    private async Task OpenCaseAsync(Dispute dispute)
    {
        var restriction = dispute.Restriction;
        if (services.GetService<BreachCases>() is not { } cases || cases.All.Any(one => one.Kind == BreachKind.DisputedAccess && one.What.Contains(restriction.Id, StringComparison.Ordinal)))
            return;
        await cases.OpenAsync(BreachKind.DisputedAccess, string.Create(CultureInfo.InvariantCulture,
            $"A person disputes an access: dispute {restriction.Id}, entry {restriction.Entry} of the audit log, by {restriction.Organisation}{(restriction.Unit is { } unit ? $", unit {unit}" : "")}. It is answered by {dispute.AnswerBy:yyyy-MM-dd} at the latest; until then they are shown nothing of the record."));
    }
}
