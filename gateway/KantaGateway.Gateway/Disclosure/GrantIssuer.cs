using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// Step 4: signs grants, and keeps each for half its life so that a caller who reads one record a hundred times costs one signature: it opens
/// the record once, and the repository keeps that open. Where it has not, the grant is spent, and another is signed. Those that are asked for while a signature is being made
/// are signed together by the next one; nobody waits for company. Thread-safe.
/// </summary>
/// <remarks>The key is everything the grant says, so a kept one never reaches further than a new one would.</remarks>
public sealed class GrantIssuer(GrantSigner signer, TimeProvider time, GrantAccounts? accounts = null)
{
    private static readonly DisclosureScope PolicyScope = new() { Breadth = Breadth.WholePerson, Types = ["Appointment", "Consent", "Encounter", "Patient"] };
    private static readonly DisclosureScope Trail = new() { Breadth = Breadth.None };

    private readonly RecentCache<Key, Kept> _kept = new(50_000);

    private static readonly TimeSpan KeptFor = Grant.MaxLifetime / 2;

    private sealed record Kept(UInt128 Digest, string Signed, DateTimeOffset At);

    private readonly Lock _gate = new();
    private readonly Queue<Asked> _asked = [];
    private bool _isSigning;

    private sealed record Asked(Grant Grant, TaskCompletionSource<string> Signed);

    private readonly record struct Key(string Caller, string TokenId, string Purpose, Pseudonym Compartment, GrantUse Use, long? PolicyVersion, DisclosureScope Scope);

    /// <summary>A grant for what a decision permits.</summary>
    /// <param name="requester">Whose request it is.</param>
    /// <param name="compartment">What it opens.</param>
    /// <param name="use">Read or write.</param>
    /// <param name="scope">The decision's scope.</param>
    /// <param name="policyVersion">Version that the decision rests on; null: on none.</param>
    /// <param name="anew">The one that is kept is spent.</param>
    public async ValueTask<string> ForAsync(Requester requester, Pseudonym compartment, GrantUse use, DisclosureScope scope, long? policyVersion, bool anew = false)
    {
        var key = new Key(requester.Caller, requester.TokenId, requester.PurposeOfUse, compartment, use, policyVersion, scope);
        var now = time.GetUtcNow();
        // The clock may have been set: what is not of the last half minute by it the repository would not take.
        if (!anew && _kept.TryGet(key, out var kept) && now - kept.At is var age && age >= TimeSpan.Zero && age < KeptFor)
        {
            accounts?.Signed(kept.Digest, requester, compartment);
            return kept.Signed;
        }
        var id = Guid.NewGuid().ToString("N");
        var digest = GrantAccounts.DigestOf(id);
        accounts?.Signed(digest, requester, compartment);
        var signed = await SignAsync(new Grant
        {
            Id = id,
            Use = use,
            Compartment = compartment,
            PolicyVersion = policyVersion,
            Scope = scope,
            Caller = requester.Caller,
            PurposeOfUse = requester.PurposeOfUse,
            Writer = use == GrantUse.Write ? requester.Subscriber?.Organisation.ToString() : null,
            Expires = now + Grant.MaxLifetime,
        });
        _kept.Set(key, new Kept(digest, signed, now));
        return signed;
    }

    /// <summary>A grant for the gateway's own questions: what decisions rest on, and how many entries a scope would admit. It shows nothing of an entry.</summary>
    public ValueTask<string> ForPolicyAsync(Requester requester, Pseudonym compartment, bool anew = false) => ForAsync(requester, compartment, GrantUse.Policy, PolicyScope, null, anew);

    /// <summary>A grant to open the audit entries about the requester themselves, or whom they represent.</summary>
    public ValueTask<string> ForAuditTrailAsync(Requester requester, Pseudonym person) => ForAsync(requester, person, GrantUse.AuditTrail, Trail, null);

    private ValueTask<string> SignAsync(Grant grant)
    {
        lock (_gate)
        {
            if (_isSigning)
            {
                var asked = new Asked(grant, new(TaskCreationOptions.RunContinuationsAsynchronously));
                _asked.Enqueue(asked);
                return new(asked.Signed.Task);
            }
            _isSigning = true;
        }
        try
        {
            return new(signer.Sign(grant));
        }
        finally
        {
            // Who has theirs does not stay to sign for the others.
            if (IsAskedMore())
                ThreadPool.UnsafeQueueUserWorkItem(static issuer => issuer.SignAsked(), this, preferLocal: false);
        }
    }

    private bool IsAskedMore()
    {
        lock (_gate)
            return _isSigning = _asked.Count > 0;
    }

    private void SignAsked()
    {
        var together = new List<Asked>();
        do
        {
            together.Clear();
            lock (_gate)
                while (together.Count < GrantSigner.MostTogether && _asked.TryDequeue(out var next))
                    together.Add(next);
            try
            {
                var signed = signer.Sign([.. together.Select(static one => one.Grant)]);
                for (var i = 0; i < signed.Length; i++)
                    together[i].Signed.SetResult(signed[i]);
            }
            catch (Exception failure)
            {
                foreach (var one in together)
                    one.Signed.TrySetException(failure);
            }
        }
        while (IsAskedMore());
    }
}
