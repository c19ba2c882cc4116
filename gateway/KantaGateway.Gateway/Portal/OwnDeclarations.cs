using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Portal;

/// <summary>What the citizen has declared and what follows from it now.</summary>
/// <param name="Informed">The confirmation of the informing text now in force; null when there is none, or one of an older text only.</param>
/// <param name="Permission">The disclosure permission in force.</param>
/// <param name="Denials">Those in force, newest first.</param>
/// <param name="Unreadable">Ids of Consents that are no declaration of ours; each is taken for a denial of everything.</param>
internal sealed record DeclarationState(
    Informing? Informed, DisclosurePermit? Permission, IReadOnlyList<DisclosureDenial> Denials, IReadOnlyList<string> Unreadable)
{
    public bool DeniesAll => Unreadable.Count > 0 || Denials.Any(d => d.Target is DenialTarget.All);

    /// <summary>Key of the sentence that sums it up. Follows the order of the decision: whatever is missing leaves the own register.</summary>
    public string Sentence => (DeniesAll, Informed is not null && Permission is not null, Denials.Count) switch
    {
        (true, _, _) => "state.denied-all",
        (_, false, _) => "state.own-only",
        (_, _, 0) => "state.permitted",
        _ => "state.permitted-some",
    };
}

/// <summary>The citizen's declarations of will, read and written as FHIR Consents through the same steps as every request.</summary>
/// <remarks>Act 703/2023 §54, §58, §59, §68. Whether a declaration is allowed is decided in step 3, not here.</remarks>
internal sealed class OwnDeclarations(IInnerRequests requests, IdentifierCipher ids, TimeProvider time)
{
    /// <exception cref="RefusedException">The declarations could not be read.</exception>
    public async Task<DeclarationState> ReadAsync(Requester citizen, CancellationToken cancel)
    {
        var declarations = new List<Declaration>();
        var unreadable = new List<string>();
        var form = Encoding.ASCII.GetBytes($"patient={PatientId(citizen)}&_count=200");
        var answer = await requests.SendAsync(citizen, "POST", "Consent/_search", form, "application/x-www-form-urlencoded", cancel: cancel);
        while (true)
        {
            var bundle = FhirAnswers.Success(answer);
            foreach (var consent in bundle.Each("entry").Select(e => e.At("resource")).OfType<JsonElement>())
                if (Declarations.Read(consent) is { } declaration)
                    declarations.Add(declaration);
                else
                    unreadable.Add(consent.String("id") ?? "");
            if (FhirAnswers.NextPage(bundle) is not { } next)
                break;
            answer = await requests.SendAsync(citizen, "GET", next, cancel: cancel);
        }
        var (permission, denials) = PolicySnapshot.Compile(0, declarations, []).InForceAt(time.GetUtcNow());
        return new(declarations.OfType<Informing>().Where(i => i.IsCurrent).MaxBy(i => i.At), permission, denials, unreadable);
    }

    public Task InformedAsync(Requester citizen, CancellationToken cancel) =>
        CreateAsync(citizen, Declarations.Informing(PatientId(citizen), time.GetUtcNow()), cancel);

    public Task PermitAsync(Requester citizen, CancellationToken cancel) =>
        CreateAsync(citizen, Declarations.Permit(PatientId(citizen), time.GetUtcNow()), cancel);

    public Task DenyAsync(Requester citizen, DenialTarget target, bool allowsEmergency, CancellationToken cancel) =>
        CreateAsync(citizen, Declarations.Denial(PatientId(citizen), target, time.GetUtcNow(), allowsEmergency), cancel);

    /// <summary>Withdraws a permission or a denial; one that is withdrawn already stays so.</summary>
    /// <exception cref="RefusedException">It does not exist, or has changed in between: nothing was withdrawn.</exception>
    public async Task WithdrawAsync(Requester citizen, Declaration declaration, CancellationToken cancel)
    {
        var read = await requests.SendAsync(citizen, "GET", $"Consent/{declaration.Id}", cancel: cancel);
        var consent = FhirAnswers.Success(read);
        var headers = new HeaderDictionary { [HeaderNames.IfMatch] = read.Headers.ETag };
        var answer = await requests.SendAsync(citizen, "PUT", $"Consent/{declaration.Id}", Declarations.Withdrawn(consent), headers: headers, cancel: cancel);
        FhirAnswers.RequireSuccess(answer);
    }

    private async Task CreateAsync(Requester citizen, byte[] consent, CancellationToken cancel) =>
        FhirAnswers.RequireSuccess(await requests.SendAsync(citizen, "POST", "Consent", consent, cancel: cancel));

    private string PatientId(Requester citizen) =>
        ids.PatientId(citizen.Person ?? throw new InvalidOperationException("A citizen's session names no person."));
}
