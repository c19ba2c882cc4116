using System.Globalization;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Storage;

namespace KantaGateway.Tests.Scenarios;

/// <summary>
/// The audit store of a development host, read from its folder with the keys that lie there: what an auditor with
/// every key would see.
/// </summary>
sealed class AuditOnDisk : IDisposable
{
    /// <summary>As the development host names its log.</summary>
    private const string Origin = "localhost/kanta-audit";

    private readonly string _folder;
    private readonly AuditOpener _opener;
    private readonly Dictionary<string, List<JsonElement>> _events = [];
    private long _read;

    /// <param name="data">The host's folder.</param>
    /// <param name="joined">Port of a gateway that has joined it, which has a log of its own; null: the host's.</param>
    public AuditOnDisk(string data, int? joined = null)
    {
        var suffix = joined is { } port ? string.Create(CultureInfo.InvariantCulture, $"-{port}") : "";
        _folder = Path.Combine(data, "audit" + suffix);
        using var signer = new NoteSigner(Origin + suffix, Convert.FromBase64String(File.ReadAllText(Path.Combine(_folder, "log.key")).Trim()));
        Log = signer.Verifier;
        using var keys = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(data, "keys", "wrapping-keys.json")));
        _opener = new(keys.RootElement.GetProperty("auditReaderKey").GetBytesFromBase64());
    }

    public NoteVerifier Log { get; }

    /// <summary>AuditEvents of every entry that was opened, oldest first.</summary>
    public List<JsonElement> All { get; } = [];

    /// <summary>Recomputes the whole tree and compares it with what is stored, signed and was signed before.</summary>
    public AuditVerification Verify(string? earlierCheckpoint) => AuditVerification.Of(_folder, Log, earlierCheckpoint);

    /// <summary>Opens the entries that came since the last call.</summary>
    public void Refresh()
    {
        foreach (var (index, row) in Segments.Rows(_folder, _read))
        {
            var entry = new SealedEntry(index, DateTimeOffset.UnixEpoch, row.Commitment.ToArray(), row.Enc, row.Sealed);
            Assert.True(_opener.TryOpen(entry, out var opened), $"entry {index} does not open");
            var json = JsonDocument.Parse(opened.AuditEvent!).RootElement;
            All.Add(json);
            foreach (var request in Requests(json))
                (_events.TryGetValue(request, out var known) ? known : _events[request] = []).Add(json);
            _read = index + 1;
        }
    }

    /// <summary>AuditEvents of one request, by its X-Request-Id.</summary>
    public IReadOnlyList<JsonElement> Of(string request) => _events.GetValueOrDefault(request) ?? [];

    /// <summary>Whether an entry says that this request disclosed a body with this SHA-256.</summary>
    public bool Discloses(string request, byte[] digest)
    {
        var encoded = Convert.ToBase64String(digest);
        return Of(request).Any(e => e.GetProperty("outcome").GetString() == "0" && e.GetRawText().Contains(encoded, StringComparison.Ordinal));
    }

    public void Dispose() => _opener.Dispose();

    // The request id is the identifier of the entity with type XrequestId (BALP).
    private static IEnumerable<string> Requests(JsonElement json) =>
        from entity in json.TryGetProperty("entity", out var entities) ? entities.EnumerateArray().ToArray() : []
        where entity.TryGetProperty("type", out var type) && type.TryGetProperty("code", out var code) && code.GetString() == "XrequestId"
        select entity.GetProperty("what").GetProperty("identifier").GetProperty("value").GetString()!;
}
