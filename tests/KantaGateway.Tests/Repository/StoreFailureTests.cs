using System.Net;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Repository;

/// <summary>A client is told of a failing database what is true: nothing was stored, it is not known, or all was.</summary>
public sealed class StoreFailureTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;
    private FailingStore _store = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(configure: builder =>
        {
            var real = builder.Services.Last(s => s.ServiceType == typeof(ICompartmentStore)).ImplementationFactory!;
            builder.Services.AddSingleton<ICompartmentStore>(s => _store = new((ICompartmentStore)real(s)));
        });
        _clinic = _world.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
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
    private sealed class FailingStore(ICompartmentStore real) : ICompartmentStore
    {
        public bool LosesAnswers { get; set; }
        public bool FailsReads { get; set; }
        public bool FailsReadsAfterCommit { get; set; }

        public ValueTask<StoredIndex?> ReadIndexAsync(Pseudonym compartment, long after, CancellationToken cancel) =>
            FailsReads ? throw new StoreException("Out of order.") : real.ReadIndexAsync(compartment, after, cancel);

        public ValueTask<StoredBody> ReadBodyAsync(Pseudonym compartment, long sequence, CancellationToken cancel) => real.ReadBodyAsync(compartment, sequence, cancel);

        public ValueTask<StoredBodies> ReadBodiesAsync(Pseudonym compartment, IReadOnlyList<long> sequences, CancellationToken cancel) =>
            FailsReads ? throw new StoreException("Out of order.") : real.ReadBodiesAsync(compartment, sequences, cancel);

        public async ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel)
        {
            var done = await real.AppendAsync(appends, cancel);
            FailsReads |= FailsReadsAfterCommit;
            return LosesAnswers ? throw new StoreException("The line went dead.") : done;
        }

        public ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel) =>
            real.StorePartAsync(compartment, content, number, sealedPart, cancel);

        public ValueTask<int> ReadPartAsync(Pseudonym compartment, Guid content, int number, byte[] buffer, CancellationToken cancel) =>
            real.ReadPartAsync(compartment, content, number, buffer, cancel);

        public ValueTask SweepPartsAsync(Guid before, CancellationToken cancel) => real.SweepPartsAsync(before, cancel);

        public ValueTask PingAsync(CancellationToken cancel) => real.PingAsync(cancel);

        public ValueTask DisposeAsync() => real.DisposeAsync();
    }
}
