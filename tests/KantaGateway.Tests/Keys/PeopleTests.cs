using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Backends;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Keys;

/// <summary>A key service with nobody in its register, and what its files are.</summary>
public abstract class PeopleTests : IAsyncLifetime
{
    private protected const int RecordSize = 136;

    private protected readonly RunningKeys _keys = new() { Registers = 0 };
    private protected readonly TemporaryFolder _elsewhere = new();

    /// <summary>After <see cref="SilentAsync"/>.</summary>
    private protected SilentBackend Silent { get; private set; } = null!;

    public Task InitializeAsync() => _keys.InitializeAsync();

    public async Task DisposeAsync()
    {
        await _keys.DisposeAsync();
        _elsewhere.Dispose();
    }

    private protected string Ceremonies => Path.Combine(_keys.Options.CustodyFolder, "ceremonies.json");

    private protected string Mark => Path.Combine(_keys.Options.CustodyFolder, "restored");

    private protected string Register(int generation) => Path.Combine(_keys.Options.CustodyFolder, $"people-{generation}");

    private protected static bool Has(string file, byte[] bytes) => File.ReadAllBytes(file).AsSpan().IndexOf(bytes) >= 0;

    private protected KeyFile FileNow() => KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true);

    private protected static string Code(int person) => FictionalIdentityCode.Of("people", person).Reveal();

    private protected async Task<Pseudonym[]> RegisterAsync(int people)
    {
        var numbers = new List<Pseudonym>();
        foreach (var part in Enumerable.Range(0, people).Chunk(50))
            numbers.AddRange(await Task.WhenAll(part.Select(person => NumberAsync(person))));
        return [.. numbers];
    }

    private protected Task<Pseudonym> NumberAsync(int person, RunningKeys? of = null) => (of ?? _keys).RegisterAsync(FictionalIdentityCode.Of("people", person));

    /// <returns>Null: 503.</returns>
    private protected async Task<Pseudonym?> TryNumberAsync(int person)
    {
        using var answer = await _keys.PostAsync("/v1/pseudonym", _keys.Gateway.SignServiceToken(), new { identityCode = Code(person) });
        if (answer.StatusCode == HttpStatusCode.ServiceUnavailable)
            return null;
        Assert.True(Pseudonym.TryDecode((await answer.Content.ReadFromJsonAsync<PseudonymAnswer>())?.Pseudonym, out var number), answer.StatusCode.ToString());
        return number;
    }

    private protected async Task<HttpStatusCode> AskAsync(int person)
    {
        using var answer = await _keys.PostAsync("/v1/pseudonym", _keys.Gateway.SignServiceToken(), new { identityCode = Code(person) });
        return answer.StatusCode;
    }

    private protected async Task<byte[]> CreateAsync(Pseudonym number) => (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, number), new { })).Wrapped;

    private protected async Task<byte[]?> RewrapAsync(Pseudonym number, byte[] wrapped) =>
        (await _keys.PostAsync<object, RewrapAnswer>("/v1/keys/rewrap", null, new { keys = new[] { new { compartment = number.Encode(), wrapped } } })).Wrapped.Single();

    private protected async Task<HttpStatusCode> HoldAsync(string act, CeremonyStep step, uint version, KeyKind key = KeyKind.Pseudonym)
    {
        using var answer = await _keys.PostAsync("/v1/ceremonies", _keys.Gateway.Sign(new KeyCeremony(act, step, version, "proposer", "approver", key)), new { });
        return answer.StatusCode;
    }

    private protected async Task<HttpStatusCode> WholeAsync()
    {
        using var answer = await _keys.PostAsync("/v1/people/whole", null, new { });
        return answer.StatusCode;
    }

    private protected async Task<bool> LacksAsync() => (bool)JsonNode.Parse(await _keys.Client.GetStringAsync("/v1/keys/versions"))!["lacks"]!;

    private protected async Task<JsonNode> ProgressAsync() => JsonNode.Parse(await _keys.Client.GetStringAsync("/v1/people"))!;

    private protected async Task<long> LeftAsync() => (long)(await ProgressAsync())["left"]!;

    private protected async Task DoneAsync()
    {
        while (await LeftAsync() > 0)
            await Task.Yield();
    }

    /// <summary>Everybody is in the file of that number alone.</summary>
    private protected async Task WrittenAsync(int generation)
    {
        while (!File.Exists(Register(generation)) || File.Exists(Register(generation - 1)) || await LeftAsync() > 0)
            await Task.Yield();
    }

    /// <summary>Starts it anew over a backend that can fall silent.</summary>
    /// <param name="isRunning">Whether it is to be stopped before.</param>
    /// <param name="opens">How much it opens first; null: whatever there is.</param>
    private protected async Task SilentAsync(bool isRunning = true, int? opens = null)
    {
        if (isRunning)
            await _keys.StopAsync();
        var silent = Silent = new() { OpensLeft = opens };
        _keys.Configure = builder => builder.Services.AddSingleton<IKeyBackend>(_ => silent.Over(new FileBackend(_keys.Options.KeyFile, FileNow())));
        await _keys.StartAsync();
    }

    /// <param name="isMarked">Whether its folder is said to be one from a backup.</param>
    private protected async Task RestartAsync(bool isMarked = false)
    {
        await _keys.StopAsync();
        if (isMarked)
            await File.WriteAllTextAsync(Mark, "");
        await _keys.StartAsync();
    }

    private protected async Task<string> RefusesToStartAsync() => (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message;

    /// <summary>The files of the custody folder, what says where they end before them.</summary>
    private protected Dictionary<string, byte[]> BackUp()
    {
        var backup = new Dictionary<string, byte[]> { [Ceremonies] = File.ReadAllBytes(Ceremonies) };
        foreach (var file in Directory.GetFiles(_keys.Options.CustodyFolder).Where(file => Path.GetFileName(file) != "lock" && file != Ceremonies && !file.EndsWith(".new", StringComparison.Ordinal)))
            try
            {
                backup[file] = File.ReadAllBytes(file);
            }
            catch (FileNotFoundException)
            {
                // Another one has taken its place while we looked, and has everybody.
                return BackUp();
            }
        return backup;
    }

    private protected void BringBack(Dictionary<string, byte[]> backup, bool isMarked)
    {
        foreach (var file in Directory.GetFiles(_keys.Options.CustodyFolder).Where(static file => Path.GetFileName(file) != "lock"))
            File.Delete(file);
        foreach (var (file, bytes) in backup)
            File.WriteAllBytes(file, bytes);
        if (isMarked)
            File.WriteAllText(Mark, "");
    }


    /// <summary>What the key service answers to whoever would begin a record.</summary>
    private protected async Task<HttpStatusCode> MadeAsync(Pseudonym number)
    {
        using var made = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, number), new { });
        return made.StatusCode;
    }

    private protected async Task EraseAsync(Pseudonym number, string act = "act")
    {
        using var erased = await _keys.PostAsync("/v1/erasures", _keys.Gateway.Sign(new KeyErasure(act, number, "proposer", "approver")), new { });
        Assert.Equal(HttpStatusCode.NoContent, erased.StatusCode);
    }
}
