using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// Of whom each professional has recorded emergencies, so that one which nobody reviewed in time is found when the professional asks about
/// somebody else (Act 703/2023 §54.2; EHDS Art. 11(5)). Only says where to look: what was recorded and settled stands in those people's records.
/// Thread-safe.
/// </summary>
/// <remarks>
/// A folder that all gateways share, with one for each professional and in it an empty file for each person, named by keyed digests and
/// pseudonyms. A mark is on disk before the emergency is stored, and goes when it is a day past the time for reviews and nothing waits.
/// </remarks>
public sealed class EmergencyTrail
{
    /// <summary>How long an answer that nothing waits is relied on.</summary>
    public static readonly TimeSpan Recent = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan KeptFor = EmergencyAccess.ReviewedWithin + TimeSpan.FromDays(1);

    private static readonly Fault Unavailable = new(FaultKind.StoreUnavailable, "Emergencies cannot be recorded or looked up at the moment. Nothing was disclosed or stored; try again.");

    private readonly bool _isNational;
    private readonly string? _folder;
    private readonly byte[] _key;
    private readonly PolicyLookup _policies;
    private readonly TimeProvider _time;
    private readonly RecentCache<string, DateTimeOffset> _clear = new(10_000);

    /// <param name="options">Its <see cref="GatewayOptions.EmergencyFolder"/>; made where stores are.</param>
    /// <param name="identifierKey">Under which names are digested.</param>
    /// <param name="policies">Where the emergencies are read.</param>
    /// <param name="time">The clock of marks.</param>
    public EmergencyTrail(GatewayOptions options, byte[] identifierKey, PolicyLookup policies, TimeProvider time)
    {
        (_folder, _policies, _time) = (options.EmergencyFolder, policies, time);
        // Ids that the role register knows are the same wherever the professional works; others are their organisation's own.
        _isNational = options.Identification.RoleRegister is not null;
        _key = HKDF.DeriveKey(HashAlgorithmName.SHA256, identifierKey, 32, info: "kanta emergency trail"u8.ToArray());
        if (_folder is not null && options.CreateStores)
            OwnerOnly.CreateFolder(_folder);
    }

    /// <summary>Marks that a professional is about to record an emergency of a person; durable when this returns.</summary>
    /// <exception cref="FaultException">It cannot be marked, so nothing may be recorded.</exception>
    public void Mark(Requester professional, Pseudonym person)
    {
        if (_folder is null)
            throw new FaultException(Unavailable);
        Try(() =>
        {
            var own = Path.Combine(_folder, NameOf(professional));
            OwnerOnly.CreateFolder(own);
            var mark = Path.Combine(own, person.Encode());
            OwnerOnly.WriteWhole(mark, [], overwrite: true);
            File.SetLastWriteTimeUtc(mark, _time.GetUtcNow().UtcDateTime);
            return true;
        });
        _clear.Set(NameOf(professional), DateTimeOffset.MinValue);
    }

    /// <summary>Whether an emergency that the professional recorded of somebody has waited too long for its review.</summary>
    /// <exception cref="FaultException">It cannot be told.</exception>
    public async ValueTask<bool> IsOverdueAsync(Requester professional, CancellationToken cancel)
    {
        if (_folder is null)
            return false;
        var (name, now) = (NameOf(professional), _time.GetUtcNow());
        if (_clear.TryGet(name, out var known) && now - known < Recent && known <= now)
            return false;
        var own = Path.Combine(_folder, name);
        foreach (var mark in Try(() => Directory.Exists(own) ? Directory.GetFiles(own) : []))
        {
            // What a kill left half made has another name than a pseudonym's, and was followed by no record.
            if (!Pseudonym.TryDecode(Path.GetFileName(mark), out var person))
                continue;
            var policy = await _policies.FetchAsync(professional, person, cancel);
            if (policy.HasOverdueEmergency(professional.ProfessionalId, _isNational ? null : professional.Organisation.ToString(), now, professional.EmergencyBarEnded))
                return true;
            if (now - Try(() => File.GetLastWriteTimeUtc(mark)) > KeptFor)
                Try(() => { File.Delete(mark); return true; });
        }
        _clear.Set(name, now);
        return false;
    }

    private string NameOf(Requester professional) =>
        Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(_isNational ? professional.ProfessionalId! : $"{professional.Organisation}|{professional.ProfessionalId}")).AsSpan(0, 16));

    private static T Try<T>(Func<T> access)
    {
        try
        {
            return access();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new FaultException(Unavailable);
        }
    }
}
