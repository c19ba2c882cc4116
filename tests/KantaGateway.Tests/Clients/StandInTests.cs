using Hl7.Fhir.Model;
using Hl7.Fhir.Rest;
using KantaGateway.Client;
using KantaGateway.Harness.Simulation;
using KantaGateway.Tests.Scenarios;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Tests.Clients;

/// <summary>The stand-in gateway misbehaves as it is told, and the vendors' client does what it says in its README.</summary>
public sealed class StandInTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private StandIn _standIn = null!;
    private KantaClient _kanta = null!;
    private KantaFhirClient _fhir = null!;

    public async Task InitializeAsync()
    {
        _standIn = await StandIn.StartAsync(_folder.Path, RunningHost.FreePorts());
        _standIn.RetryAfter = 0;
        _kanta = KantaClient.Open(Options(new() { FirstWait = TimeSpan.Zero }));
        _fhir = _kanta.System();
    }

    public async Task DisposeAsync()
    {
        _fhir.Dispose();
        _kanta.Dispose();
        await _standIn.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_client_gets_through_whatever_passes_and_nothing_is_stored_twice()
    {
        var stored = (await _fhir.CreateAsync(Note("1")))!;
        foreach (var how in new[] { Misbehaviour.TooMany, Misbehaviour.Unavailable, Misbehaviour.Broken, Misbehaviour.RotatedKeys })
        {
            _standIn.Misbehave(how);
            var before = _standIn.Requests;
            Assert.Equal(stored.Id, (await _fhir.ReadAsync<Observation>($"Observation/{stored.Id}"))!.Id);
            Assert.Equal(before + 2, _standIn.Requests);
        }
        _standIn.Misbehave(Misbehaviour.Broken);
        await _fhir.ConditionalCreateAsync(Note("2"), new SearchParams().Where("identifier=urn:vendor|2"));
        Assert.Equal(2, _standIn.Stored);

        using var impatient = KantaClient.Open(Options(new() { FirstWait = TimeSpan.Zero, Attempt = TimeSpan.FromSeconds(1), Most = 10 }));
        using var fhir = impatient.System();
        _standIn.Misbehave(Misbehaviour.Slow);
        var asked = _standIn.Requests;
        Assert.Equal(stored.Id, (await fhir.ReadAsync<Observation>($"Observation/{stored.Id}"))!.Id);
        Assert.Equal(asked + 2, _standIn.Requests);
    }

    [Fact]
    public async Task A_bare_creation_whose_answer_was_lost_is_not_sent_again()
    {
        await _fhir.CreateAsync(Note("1"));
        _standIn.Misbehave(Misbehaviour.Broken);
        await Assert.ThrowsAsync<OutcomeUnknownException>(() => _fhir.CreateAsync(Note("2")));
        Assert.Equal((2, 2), (_standIn.Stored, _standIn.Requests));
        _standIn.Misbehave(Misbehaviour.Unavailable);
        var later = await Assert.ThrowsAsync<TryLaterException>(() => _fhir.CreateAsync(Note("3")));
        Assert.Equal((true, TimeSpan.Zero), (later.MayHaveHappened, later.RetryAfter));
        _standIn.Misbehave(Misbehaviour.TooMany);
        await _fhir.CreateAsync(Note("4"));
        Assert.Equal(3, _standIn.Stored);
    }

    [Fact]
    public async Task A_conflict_is_told_apart_from_ones_own_change()
    {
        var stored = (await _fhir.CreateAsync(Note("1")))!;
        _standIn.Misbehave(Misbehaviour.VersionConflict);
        Assert.False((await Assert.ThrowsAsync<VersionConflictException>(() => _fhir.UpdateAsync(stored, versionAware: true))).MayBeOwn);
        stored = (await _fhir.ReadAsync<Observation>($"Observation/{stored.Id}"))!;
        _standIn.Misbehave(Misbehaviour.Broken);
        Assert.True((await Assert.ThrowsAsync<VersionConflictException>(() => _fhir.UpdateAsync(stored, versionAware: true))).MayBeOwn);
    }

    [Fact]
    public async Task What_does_not_pass_is_said_at_once()
    {
        await _fhir.CreateAsync(Note("1"));
        _standIn.Misbehave(Misbehaviour.RevokedRight, -1);
        Assert.Equal("invalid_client", (await Assert.ThrowsAsync<TokenRefusedException>(() => _fhir.ReadAsync<Observation>("Observation/1"))).Error);
        _standIn.Misbehave(Misbehaviour.RevokedRight, 0);
        await Assert.ThrowsAsync<NotThereException>(() => _fhir.ReadAsync<Observation>("Observation/1"));

        // Once: a second attempt would succeed.
        _standIn.Misbehave(Misbehaviour.ExpiredCertificate);
        using var late = KantaClient.Open(Options(new()));
        using var system = late.System();
        Assert.Equal(HttpRequestError.SecureConnectionError, (await Assert.ThrowsAsync<HttpRequestException>(() => system.ReadAsync<Observation>("Observation/1"))).HttpRequestError);
    }

    private KantaClientOptions Options(RepeatOptions repeats) => KantaClientOptions.FromFolder(_folder.File("clinics/vendor"), _folder.File("ca.pem")) with { Repeats = repeats };

    private static Observation Note(string value) => new() { Status = ObservationStatus.Final, Code = new("http://loinc.org", "8867-4"), Identifier = [new("urn:vendor", value)] };
}
