using System.Net;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Repository.Storage;

namespace KantaGateway.Tests.Repository;

/// <summary>A client is told of a failing database what is true: nothing was stored, it is not known, or all was.</summary>
public sealed class StoreFailureTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;
    private FailingStore _store = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(configure: builder => StoreInFront.Put(builder, real => _store = new(real)));
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task A_commit_whose_answer_is_lost_is_not_called_a_failed_one()
    {
        _store.LosesAnswers = true;
        var lost = (await _clinic.CreateAsync(Some.Observation(_clinic.PatientId))).Is(HttpStatusCode.ServiceUnavailable);
        Assert.Contains("not known", lost.Text);
        Assert.DoesNotContain("send the request again", lost.Text);
        _store.LosesAnswers = false;
        Assert.Equal(1, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
    }

    [Fact]
    public async Task A_write_that_fails_before_its_commit_has_stored_nothing_and_says_so()
    {
        _store.FailsReads = true;
        var failed = (await _clinic.CreateAsync(Some.Observation(_clinic.PatientId))).Is(HttpStatusCode.ServiceUnavailable);
        Assert.Contains("nothing was stored", failed.Text);
        _store.FailsReads = false;
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
    }

    [Fact]
    public async Task After_a_commit_a_failing_read_is_the_outcome_of_its_entry_and_not_of_the_transaction()
    {
        _store.FailsReadsAfterCommit = true;
        var reply = (await _clinic.TransactAsync(Some.Transaction(
            ("POST", "Observation", Some.Observation(_clinic.PatientId), null), ("GET", "Observation", null, null)))).Is(HttpStatusCode.OK);
        var entries = reply.Json["entry"]!.AsArray();
        Assert.Equal(["201 Created", "503"], entries.Select(e => (string)e!["response"]!["status"]!));
        Assert.Equal("OperationOutcome", (string)entries[1]!["response"]!["outcome"]!["resourceType"]!);
        Assert.True(Assert.Single(reply.Manifest!.Items).Written);
    }

    /// <summary>A database that fails on demand.</summary>
    private sealed class FailingStore(ICompartmentStore real) : StoreInFront(real)
    {
        public bool LosesAnswers { get; set; }
        public bool FailsReads { get; set; }
        public bool FailsReadsAfterCommit { get; set; }

        public override ValueTask<StoredIndex?> ReadIndexAsync(Pseudonym compartment, long after, CancellationToken cancel) =>
            FailsReads ? throw new StoreException("Out of order.") : base.ReadIndexAsync(compartment, after, cancel);

        public override ValueTask<StoredBodies> ReadBodiesAsync(Pseudonym compartment, IReadOnlyList<long> sequences, CancellationToken cancel) =>
            FailsReads ? throw new StoreException("Out of order.") : base.ReadBodiesAsync(compartment, sequences, cancel);

        public override async ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel)
        {
            var done = await base.AppendAsync(appends, cancel);
            FailsReads |= FailsReadsAfterCommit;
            return LosesAnswers ? throw new StoreException("The line went dead.") : done;
        }
    }

    /// <summary>Whether a content whose commit is not known may be there keeps its parts: it may be read.</summary>
    [Fact]
    public async Task A_content_whose_commit_is_not_known_is_whole_if_it_is_there()
    {
        _store.LosesAnswers = true;
        (await _world.SendAsync(_clinic.Grant, null, "POST", "/fhir/Binary", "sisältö", "text/plain", ("X-Security-Context", "Patient/" + _clinic.PatientId))).Is(HttpStatusCode.ServiceUnavailable);
        _store.LosesAnswers = false;
        var entry = (await _clinic.GetAsync($"Binary/_history?patient={_clinic.PatientId}")).Is(HttpStatusCode.OK).Json["entry"]![0]!;
        var read = await _world.SendAsync(_clinic.Grant, null, "GET", $"/fhir/Binary/{entry["resource"]!["id"]}", null, null, ("Accept", "*/*"));
        Assert.Equal("sisältö", read.Is(HttpStatusCode.OK).Text);
    }
}
