using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Keys;

/// <summary>A key service on a socket in a folder of its own, and the gateway's key to speak to it.</summary>
public sealed class RunningKeys : IAsyncLifetime
{
    private WebApplication? _app;

    public string Folder { get; } = Directory.CreateTempSubdirectory("kanta-keys-").FullName;

    public ECDsa GatewayKey { get; } = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public FakeTimeProvider Time { get; } = new(DateTimeOffset.UtcNow);

    public GrantSigner Gateway => new(GatewayKey, Time);

    public HttpClient Client { get; private set; } = null!;

    /// <summary>Changes what it is told; before it starts.</summary>
    public Func<KeysOptions, KeysOptions> Change { get; set; } = static options => options;

    public KeysOptions Options => Change(new()
    {
        Listen = $"unix:{Path.Combine(Folder, "keys.sock")}", KeyFile = Path.Combine(Folder, "keys.json"),
        GatewayKeyFile = Path.Combine(Folder, "gateway.pem"), CreateStores = true,
        CustodyFolder = Path.Combine(Folder, "custody"),
    });

    /// <summary>How many people have a number from the beginning.</summary>
    public int Registers { get; init; } = 5;

    /// <summary>Their numbers.</summary>
    public IReadOnlyList<Pseudonym> People { get; private set; } = [];

    /// <summary>Changes what it is made of; before it starts.</summary>
    public Action<WebApplicationBuilder> Configure { get; set; } = static _ => { };

    public IServiceProvider Services => _app!.Services;

    public async Task InitializeAsync()
    {
        await File.WriteAllTextAsync(Options.GatewayKeyFile, GatewayKey.ExportSubjectPublicKeyInfoPem());
        await StartAsync();
        // At once: they share a flush.
        People = await Task.WhenAll(Enumerable.Range(0, Registers).Select(i => RegisterAsync(FictionalIdentityCode.Of("registered", i))));
    }

    /// <summary>The number of a person, who has one from then on.</summary>
    public async Task<Pseudonym> RegisterAsync(PersonalIdentityCode code)
    {
        var answer = await PostAsync<object, PseudonymAnswer>("/v1/pseudonym", Gateway.SignServiceToken(), new { identityCode = code.Reveal() });
        Assert.True(Pseudonym.TryDecode(answer.Pseudonym, out var number));
        return number;
    }

    /// <summary>Nothing is left to be done in the register: neither it nor the ceremonies are written to by themselves.</summary>
    public async Task SettledAsync()
    {
        while (Services.GetRequiredService<KnownPeople>().HasWork)
            await Task.Yield();
    }

    public async Task StartAsync()
    {
        _app = KeysHost.Build(Options, builder =>
        {
            builder.Logging.ClearProviders();
            builder.Services.AddSingleton<TimeProvider>(Time);
            Configure(builder);
        });
        await _app.StartAsync();
        Client = InternalEndpoint.Parse(Options.Listen).CreateClient(TimeSpan.FromSeconds(30));
    }

    public async Task StopAsync()
    {
        Client.Dispose();
        await _app!.DisposeAsync();
    }

    public async Task DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>A grant of the gateway for a compartment, valid for a minute.</summary>
    public string Grant(GrantUse use, Pseudonym compartment, GrantSigner? signer = null, string caller = "aurora", string? id = null) => (signer ?? Gateway).Sign(new Grant
    {
        Id = id ?? Guid.NewGuid().ToString("N"), Use = use, Compartment = compartment, Scope = DisclosureScope.Nothing, Caller = caller,
        PurposeOfUse = "TREAT", Expires = Time.GetUtcNow() + TimeSpan.FromSeconds(60),
    });

    public async Task<HttpResponseMessage> PostAsync<T>(string path, string? bearer, T body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        if (bearer is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        return await Client.SendAsync(request);
    }

    /// <summary>Asks for one key, of those that may be asked for at once.</summary>
    internal async Task<(HttpStatusCode Status, GivenKey? Key)> AskAsync(string? grant, byte[] wrapped)
    {
        var answer = (await PostAsync<object, UnwrapAnswer>("/v1/keys/unwrap", null, new { keys = new[] { new { grant, wrapped } } })).Keys.Single();
        Assert.Equal(answer.Status == 200, answer.Key is not null);
        return ((HttpStatusCode)answer.Status, answer.Key);
    }

    /// <summary>One key, which is given.</summary>
    internal async Task<GivenKey> UnwrapAsync(string grant, byte[] wrapped)
    {
        var (status, key) = await AskAsync(grant, wrapped);
        Assert.Equal(HttpStatusCode.OK, status);
        return key!;
    }

    public async Task<TAnswer> PostAsync<T, TAnswer>(string path, string? bearer, T body)
    {
        using var response = await PostAsync(path, bearer, body);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return (await response.Content.ReadFromJsonAsync<TAnswer>())!;
    }
}
