using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// Step 4: signs grants, and keeps each for half its life so that a caller who reads one record a hundred times costs one signature: it opens
/// the record once, and the repository keeps that open. Where it has not, the grant is spent, and another is signed.
/// </summary>
/// <remarks>The key is everything the grant says, so a kept one never reaches further than a new one would.</remarks>
public sealed class GrantIssuer(GrantSigner signer, TimeProvider time)
{
    private static readonly DisclosureScope PolicyScope = new() { Breadth = Breadth.WholePerson, Types = ["Appointment", "Consent", "Encounter", "Patient"] };
    private static readonly DisclosureScope Trail = new() { Breadth = Breadth.None };

    private readonly RecentCache<Key, Kept> _kept = new(50_000);

    private static readonly TimeSpan KeptFor = Grant.MaxLifetime / 2;

    private sealed record Kept(string Signed, DateTimeOffset At);

    private readonly record struct Key(string Caller, string TokenId, string Purpose, Pseudonym Compartment, GrantUse Use, long? PolicyVersion, DisclosureScope Scope);

    /// <summary>A grant for what a decision permits.</summary>
    /// <param name="requester">Whose request it is.</param>
    /// <param name="compartment">What it opens.</param>
    /// <param name="use">Read or write.</param>
    /// <param name="scope">The decision's scope.</param>
    /// <param name="policyVersion">Version that the decision rests on; null: on none.</param>
    /// <param name="anew">The one that is kept is spent.</param>
    public string For(Requester requester, Pseudonym compartment, GrantUse use, DisclosureScope scope, long? policyVersion, bool anew = false)
    {
        var key = new Key(requester.Caller, requester.TokenId, requester.PurposeOfUse, compartment, use, policyVersion, scope);
        var now = time.GetUtcNow();
        // The clock may have been set: what is not of the last half minute by it the repository would not take.
        if (!anew && _kept.TryGet(key, out var kept) && now - kept.At is var age && age >= TimeSpan.Zero && age < KeptFor)
            return kept.Signed;
        var signed = signer.Sign(new Grant
        {
            Id = Guid.NewGuid().ToString("N"),
            Use = use,
            Compartment = compartment,
            PolicyVersion = policyVersion,
            Scope = scope,
            Caller = requester.Caller,
            PurposeOfUse = requester.PurposeOfUse,
            Writer = use == GrantUse.Write ? requester.Subscriber?.Organisation.ToString() : null,
            Expires = now + Grant.MaxLifetime,
        });
        _kept.Set(key, new Kept(signed, now));
        return signed;
    }

    /// <summary>A grant for the gateway's own questions: what decisions rest on, and how many entries a scope would admit. It shows nothing of an entry.</summary>
    public string ForPolicy(Requester requester, Pseudonym compartment, bool anew = false) => For(requester, compartment, GrantUse.Policy, PolicyScope, null, anew);

    /// <summary>A grant to open the audit entries about the requester themselves, or whom they represent.</summary>
    public string ForAuditTrail(Requester requester, Pseudonym person) => For(requester, person, GrantUse.AuditTrail, Trail, null);
}
