using System.Net;
using System.Net.Http.Json;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Ceremonies;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Keys;

/// <summary>One contract for all places in which keys are kept. SoftHSM is one to a process, so these run one after the other.</summary>
[Collection("SoftHSM")]
public sealed class KeyBackendTests : IAsyncLifetime
{
    private static readonly Pseudonym Maija = Pseudonym.Read([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), Matti = Pseudonym.Read([1, 2, 3, 4, 5, 6, 7, 8, 9, 11]);

    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-backend-").FullName;
    private readonly TransitService _transit = new("a-token");
    private WebApplication? _service;
    private SoftToken? _token;
    private string? _address;
    private readonly WrappingVersions _versions = new();
    private IKeyBackend? _backend;

    public Task InitializeAsync()
    {
        _versions.Set([1]);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        _backend?.Dispose();
        if (_service is not null)
            await _service.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    public static TheoryData<string> Kinds => ["file", "hsm", "transit"];

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_data_key_opens_for_its_own_compartment_alone_and_only_as_it_was_sealed(string kind)
    {
        var keys = await OpenAsync(kind);
        var (key, wrapped) = await keys.CreateAsync(Maija, default);
        Assert.Equal((DataKeys.KeyLength, DataKeys.WrappedLength), (key.Length, wrapped.Length));
        Assert.Equal(key, await keys.UnwrapAsync(wrapped, Maija, default));
        Assert.Null(await keys.UnwrapAsync(wrapped, Matti, default));
        for (var i = 0; i < wrapped.Length; i += 7)
        {
            var changed = wrapped.ToArray();
            changed[i] ^= 1;
            Assert.Null(await keys.UnwrapAsync(changed, Maija, default));
        }
        Assert.Null(await keys.UnwrapAsync(wrapped[..^1], Maija, default));
        Assert.NotEqual(key, (await keys.CreateAsync(Maija, default)).Key);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_code_has_a_name_of_its_own_under_each_version_of_the_pseudonym_key_and_none_under_one_that_is_gone(string kind)
    {
        await OpenAsync(kind);
        byte[] one = [.. "010190-900P"u8], other = [.. "010190Y900P"u8];
        var name = await _backend!.MacAsync(1, one, default);
        Assert.Equal(32, name.Length);
        Assert.Equal(name, await _backend.MacAsync(1, one, default));
        Assert.NotEqual(name, await _backend.MacAsync(1, other, default));
        await Assert.ThrowsAsync<KeyBackendException>(() => _backend.MacAsync(2, one, default).AsTask());
        var derived = await _backend.DeriveAsync("a label", default);
        foreach (var _ in new[] { 1, 2 })
            await _backend.MakeAsync(KeyKind.Pseudonym, 2, default);
        Assert.Equal([1, 2], await _backend.VersionsAsync(KeyKind.Pseudonym, default));
        Assert.Equal([1], await _backend.VersionsAsync(KeyKind.Wrapping, default));
        Assert.Equal(name, await _backend.MacAsync(1, one, default));
        Assert.NotEqual(name, await _backend.MacAsync(2, one, default));
        foreach (var _ in new[] { 1, 2 })
            await _backend.DestroyAsync(KeyKind.Pseudonym, 1, default);
        Assert.Equal([2], await _backend.VersionsAsync(KeyKind.Pseudonym, default));
        await Assert.ThrowsAsync<KeyBackendException>(() => _backend.MacAsync(1, one, default).AsTask());
        // The keys of the custody's records are others', and stay.
        Assert.Equal(derived, await _backend.DeriveAsync("a label", default));
        Assert.NotEqual(derived, await _backend.DeriveAsync("another", default));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task An_identity_code_opens_for_its_own_number_alone_and_is_no_data_key(string kind)
    {
        var keys = await OpenAsync(kind);
        PersonalIdentityCode.TryParse("010190-900P", out var code);
        var sealedCode = await keys.SealPersonAsync(code, Maija, default);
        Assert.Equal((WrappedKey.Length, 1u), (sealedCode.Length, WrappedKey.VersionOf(sealedCode)));
        Assert.Equal(code, await keys.OpenPersonAsync(sealedCode, Maija, default));
        Assert.Null(await keys.OpenPersonAsync(sealedCode, Matti, default));
        Assert.Null(await keys.UnwrapAsync(sealedCode, Maija, default));
        var (_, wrapped) = await keys.CreateAsync(Maija, default);
        Assert.Null(await keys.OpenPersonAsync(wrapped, Maija, default));
        sealedCode[20] ^= 1;
        Assert.Null(await keys.OpenPersonAsync(sealedCode, Maija, default));
        Assert.Null(await keys.OpenPersonAsync(default, Maija, default));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_new_wrapping_key_seals_the_old_ones_open_and_one_that_is_gone_opens_nothing(string kind)
    {
        var keys = await OpenAsync(kind);
        var (key, old) = await keys.CreateAsync(Maija, default);
        Assert.Equal(1u, WrappedKey.VersionOf(old));
        Assert.Equal([1], await _backend!.VersionsAsync(KeyKind.Wrapping, default));
        await _backend.MakeAsync(KeyKind.Wrapping, 2, default);
        await _backend.MakeAsync(KeyKind.Wrapping, 2, default);
        Assert.Equal([1, 2], await _backend.VersionsAsync(KeyKind.Wrapping, default));
        // That it is there puts it into no service.
        Assert.Equal(1u, WrappedKey.VersionOf((await keys.CreateAsync(Matti, default)).Wrapped));
        _versions.Set([1, 2]);
        Assert.Equal(2u, WrappedKey.VersionOf((await keys.CreateAsync(Matti, default)).Wrapped));
        Assert.Equal(key, await keys.UnwrapAsync(old, Maija, default));

        var moved = (await keys.RewrapAsync(old, Maija, default))!;
        Assert.Equal(2u, WrappedKey.VersionOf(moved));
        Assert.Equal(key, await keys.UnwrapAsync(moved, Maija, default));
        Assert.Equal(moved, await keys.RewrapAsync(moved, Maija, default));
        Assert.Null(await keys.RewrapAsync(old, Matti, default));

        _versions.Set([2]);
        Assert.Null(await keys.UnwrapAsync(old, Maija, default));
        _versions.Set([1, 2]);
        Assert.Equal(key, await keys.UnwrapAsync(old, Maija, default));
        await _backend.DestroyAsync(KeyKind.Wrapping, 1, default);
        await _backend.DestroyAsync(KeyKind.Wrapping, 1, default);
        Assert.Equal([2], await _backend.VersionsAsync(KeyKind.Wrapping, default));
        Assert.Null(await keys.UnwrapAsync(old, Maija, default));
        Assert.Equal(key, await keys.UnwrapAsync(moved, Maija, default));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task People_are_found_by_another_pseudonym_key_of_every_backend_and_the_old_one_goes(string kind)
    {
        await OpenAsync(kind);
        var service = new RunningKeys
        {
            Change = options => kind == "file" ? options : options with { Pkcs11 = _token?.Options, Transit = kind == "transit" ? new() { Address = _address!, TokenFile = TokenFile } : null },
        };
        await service.InitializeAsync();
        try
        {
            var numbers = await NumbersAsync();
            Assert.Equal(HttpStatusCode.OK, await HoldAsync(CeremonyStep.Begin, 2));
            while ((await service.Client.GetFromJsonAsync<PeopleAnswer>("/v1/people"))!.Left > 0)
                Assert.Equal(numbers, await NumbersAsync());
            Assert.Equal(HttpStatusCode.OK, await HoldAsync(CeremonyStep.Destroy, 1));
            Assert.Equal([2], await service.Services.GetRequiredService<IKeyBackend>().VersionsAsync(KeyKind.Pseudonym, default));
            await service.StopAsync();
            await service.StartAsync();
            Assert.Equal(numbers, await NumbersAsync());
        }
        finally
        {
            await service.DisposeAsync();
        }

        async Task<string[]> NumbersAsync() => [.. (await Task.WhenAll(Enumerable.Range(0, 20).Select(i => service.PostAsync<object, PseudonymAnswer>("/v1/pseudonym", service.Gateway.SignServiceToken(),
            new { identityCode = FictionalIdentityCode.Of("backend", i).Reveal() })))).Select(static answer => answer.Pseudonym)];

        async Task<HttpStatusCode> HoldAsync(CeremonyStep step, uint version)
        {
            using var answer = await service.PostAsync("/v1/ceremonies", service.Gateway.Sign(new KeyCeremony($"{step}", step, version, "proposer", "approver", KeyKind.Pseudonym)), new { });
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task An_HSM_gives_no_key_out_and_one_that_could_be_taken_out_is_not_used()
    {
        await OpenAsync("hsm");
        _backend!.Dispose();
        Assert.False(_token!.GivesValueOf("kanta-wrapping-1"));
        _token.AddKey("kanta-wrapping-2", isExtractable: true);
        Assert.Contains("kanta-wrapping-2", Assert.Throws<KeyBackendException>(() => new Pkcs11Backend(_token.Options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sessions_that_an_HSM_has_lost_are_opened_anew()
    {
        var keys = await OpenAsync("hsm");
        var (key, wrapped) = await keys.CreateAsync(Maija, default);
        SoftToken.EndSessions();
        Assert.Equal(key, await keys.UnwrapAsync(wrapped, Maija, default));
        SoftToken.EndSessions();
        Assert.NotEqual(key, (await keys.CreateAsync(Maija, default)).Key);
    }

    [Fact]
    public async Task Many_at_once_share_the_sessions_of_an_HSM()
    {
        var keys = await OpenAsync("hsm");
        var (key, wrapped) = await keys.CreateAsync(Maija, default);
        foreach (var opened in await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => Task.Run(async () => await keys.UnwrapAsync(wrapped, Maija, default)))))
            Assert.Equal(key, opened);
    }

    [Fact]
    public async Task A_service_that_is_silent_is_no_answer_and_one_that_comes_back_goes_on()
    {
        var keys = await OpenAsync("transit");
        var (key, wrapped) = await keys.CreateAsync(Maija, default);
        _transit.IsSealed = true;
        await Assert.ThrowsAsync<KeyBackendException>(() => keys.UnwrapAsync(wrapped, Maija, default).AsTask());
        await Assert.ThrowsAsync<KeyBackendException>(() => keys.CreateAsync(Maija, default).AsTask());
        await Assert.ThrowsAsync<KeyBackendException>(() => _backend!.MacAsync(1, new byte[1], default).AsTask());
        _transit.IsSealed = false;
        Assert.Equal(key, await keys.UnwrapAsync(wrapped, Maija, default));
        await File.WriteAllTextAsync(TokenFile, "another");
        await Assert.ThrowsAsync<KeyBackendException>(() => keys.UnwrapAsync(wrapped, Maija, default).AsTask());
    }

    [Fact]
    public async Task A_service_that_seals_with_another_version_is_not_believed()
    {
        var keys = await OpenAsync("transit");
        _transit.Rotate("kanta-wrapping");
        _versions.Set([1, 2]);
        _transit.IsBehind = true;
        await Assert.ThrowsAsync<KeyBackendException>(() => keys.CreateAsync(Maija, default).AsTask());
    }

    private string TokenFile => Path.Combine(_folder, "token");

    private async Task<DataKeys> OpenAsync(string kind)
    {
        switch (kind)
        {
            case "file":
                return Use(new FileBackend(KeyFilePath, KeyFile.Open(KeyFilePath, create: true, isBackend: true)));
            case "hsm":
                Assert.True(SoftToken.Library is not null, "SoftHSM is not installed: apt-get install softhsm2");
                _token = new SoftToken(_folder);
                return Use(new Pkcs11Backend(_token.Options));
            default:
                foreach (var name in (string[])["kanta-wrapping", "kanta-pseudonym", "kanta-custody"])
                    _transit.AddKey(name);
                OwnerOnly.WriteWhole(TokenFile, "a-token"u8);
                var builder = WebApplication.CreateSlimBuilder();
                builder.Logging.ClearProviders();
                builder.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
                _service = builder.Build();
                _transit.Map(_service);
                await _service.StartAsync();
                var address = _address = _service.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
                return Use(new TransitBackend(new() { Address = address, TokenFile = TokenFile }, new HttpClient()));
        }
    }

    private string KeyFilePath => Path.Combine(_folder, "keys.json");

    private DataKeys Use(IKeyBackend backend) => new(_backend = backend, _versions);
}
