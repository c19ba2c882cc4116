using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;

namespace KantaGateway.Tests.Keys;

public class KeyCustodyTests : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    private readonly RunningKeys _keys = new();

    public Task InitializeAsync() => _keys.InitializeAsync();

    public Task DisposeAsync() => _keys.DisposeAsync();

    [Fact]
    public void Key_file_and_socket_are_their_owners_alone()
    {
        if (OperatingSystem.IsWindows())
            return;
        const UnixFileMode owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        Assert.Equal(owner, File.GetUnixFileMode(_keys.Options.KeyFile));
        Assert.Equal(owner, File.GetUnixFileMode(Path.Combine(_keys.Folder, "keys.sock")));
    }

    [Fact]
    public void A_key_file_that_others_may_read_refuses_to_start()
    {
        if (OperatingSystem.IsWindows())
            return;
        File.SetUnixFileMode(_keys.Options.KeyFile, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
        Assert.Contains("owner alone", Assert.Throws<InvalidOperationException>(() => KeysHost.Build(_keys.Options)).Message);
    }

    [Fact]
    public void A_missing_key_file_is_made_only_where_that_is_allowed()
    {
        var options = _keys.Options with { KeyFile = Path.Combine(_keys.Folder, "another.json"), CreateStores = false };
        Assert.Throws<InvalidOperationException>(() => KeysHost.Build(options));
        Assert.False(File.Exists(options.KeyFile));
    }

    [Fact]
    public void A_broken_key_file_refuses_to_start_and_is_not_quoted()
    {
        var file = File.ReadAllText(_keys.Options.KeyFile);
        var secret = JsonNode.Parse(file)!["custodyKey"]!.GetValue<string>();
        foreach (var broken in (string[])[file[..^20], file.Replace("\"custodyKey\"", "\"other\""), file.Replace(secret, secret[..8]), "null"])
        {
            File.WriteAllText(_keys.Options.KeyFile, broken);
            Assert.DoesNotContain(secret[..8], Assert.Throws<InvalidOperationException>(() => KeysHost.Build(_keys.Options)).ToString());
        }
    }

    [Theory]
    [InlineData("http://0.0.0.0:5000"), InlineData("http://192.168.1.1:5000"), InlineData("http://localhost.example:5000")]
    public void It_does_not_listen_publicly(string listen) =>
        Assert.ThrowsAny<Exception>(() => KeysHost.Build(_keys.Options with { Listen = listen }).StartAsync().GetAwaiter().GetResult());

    [Fact]
    public async Task It_starts_over_a_socket_that_a_killed_process_left_and_still_has_its_keys()
    {
        var created = await CreateAsync();
        await _keys.StopAsync();
        await File.WriteAllTextAsync(Path.Combine(_keys.Folder, "keys.sock"), "");
        await _keys.StartAsync();
        Assert.Equal(created.Key, (await UnwrapAsync(created.Wrapped)).Key);
    }

    [Fact]
    public async Task A_grant_that_was_verified_before_ends_when_it_says()
    {
        var created = await CreateAsync();
        var grant = _keys.Grant(GrantUse.Read, Maija);
        foreach (var expected in (HttpStatusCode[])[HttpStatusCode.OK, HttpStatusCode.Conflict])
            Assert.Equal(expected, (await _keys.AskAsync(grant, created.Wrapped)).Status);
        _keys.Time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal(HttpStatusCode.Unauthorized, (await _keys.AskAsync(grant, created.Wrapped)).Status);
    }

    private Task<CreateAnswer> CreateAsync() => _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Maija), new { });

    private Task<GivenKey> UnwrapAsync(byte[] wrapped) =>
        _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, Maija), wrapped);
}
