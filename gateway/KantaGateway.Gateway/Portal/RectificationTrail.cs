using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// Of whom each register may have a request for rectification to answer: so that its controller finds them within the month that it has (GDPR Art. 12(3)), and for that opens nobody else's record. Only says where to
/// look: what was asked and answered stands in those people's records. Thread-safe.
/// </summary>
/// <remarks>
/// Marks as those of emergencies (<see cref="EmergencyTrail"/>), beside them: a folder for each register, named by a keyed digest, and in it a file for each person, named by the pseudonym, which holds when it was made. A mark
/// is on disk before the request is stored, and goes an hour later or more, when whoever looks sees that all of that person is settled.
/// </remarks>
internal sealed class RectificationTrail
{
    /// <summary>How long after its mark a request has surely been stored, or never will be.</summary>
    private static readonly TimeSpan StoredWithin = TimeSpan.FromHours(1);

    private static readonly Fault Unavailable = new(FaultKind.StoreUnavailable, "Requests for rectification cannot be kept or looked up at the moment. Nothing was stored or disclosed; try again.");

    private readonly string? _folder;
    private readonly byte[] _key = [];
    private readonly TimeProvider _time;

    /// <param name="options">Its <see cref="GatewayOptions.EmergencyFolder"/>; null: nothing is marked, and controllers search person by person.</param>
    public RectificationTrail(GatewayOptions options, IServiceProvider services, TimeProvider time)
    {
        _time = time;
        if (options.EmergencyFolder is not { } shared)
            return;
        (_folder, _key) = (Path.Combine(shared, "rectifications"), services.GetRequiredService<IdentifierKey>().Derive("kanta rectification trail"));
    }

    /// <summary>Marks that a person is about to ask something of a register; durable when this returns.</summary>
    /// <exception cref="FaultException">It cannot be marked, so nothing may be stored.</exception>
    public void Mark(AskedRegister asked, Pseudonym person)
    {
        if (_folder is null)
            return;
        Try(() =>
        {
            OwnerOnly.CreateFolder(_folder);
            EmergencyMark.Make(FolderOf(asked), person.Encode(), _time.GetUtcNow());
            return true;
        });
    }

    /// <summary>Of whom requests may wait in a register, those marked longest ago first.</summary>
    /// <exception cref="FaultException">It cannot be told.</exception>
    public IReadOnlyList<EmergencyMark> Of(AskedRegister asked) => _folder is null ? throw new FaultException(new(FaultKind.StoreUnavailable, "This gateway keeps no list of requests for rectification that wait: search person by person."))
        : Try<IReadOnlyList<EmergencyMark>>(() => [.. EmergencyMark.AllIn(FolderOf(asked)).OrderBy(static mark => mark.At)]);

    /// <summary>Nothing that was asked of the register at the time of the mark waits any more: the mark goes, unless what it is of may still be on its way.</summary>
    public void Settled(EmergencyMark mark)
    {
        if (_time.GetUtcNow() - mark.At > StoredWithin)
            Try(() => { mark.Drop(); return true; });
    }

    private string FolderOf(AskedRegister asked) => Path.Combine(_folder!, Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{asked.Controller}\n{asked.Register}")).AsSpan(0, 16)));

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
