using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal;
using KantaGateway.Audit.Balp;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Portal;

/// <summary>Disputes of one person are stored one after the other, and nobody waits for somebody else's.</summary>
public sealed class DisputeTurnTests : IDisposable
{
    private readonly IdentifierCipher _ids = new(new byte[32]);
    private readonly Repository _repository = new();
    private readonly CancellationTokenSource _patience = new(TimeSpan.FromSeconds(30));

    [Fact]
    public async Task A_repository_that_is_slow_about_one_person_holds_nobody_elses_dispute()
    {
        var (helmi, onni) = (Citizen(), Citizen());
        var held = Disputes().DisputeAsync(helmi, 1, _patience.Token);
        await _repository.HeldAsync(_patience.Token);
        Assert.NotNull(await Disputes().DisputeAsync(onni, 1, _patience.Token));
        Assert.False(held.IsCompleted);
        _repository.Release();
        Assert.NotNull(await held);
    }

    [Fact]
    public async Task Of_one_person_they_come_one_after_the_other_and_the_same_entry_is_one_dispute()
    {
        var helmi = Citizen();
        var first = Disputes().DisputeAsync(helmi, 1, _patience.Token);
        await _repository.HeldAsync(_patience.Token);
        var second = Disputes().DisputeAsync(helmi, 1, _patience.Token);
        Assert.False(second.IsCompleted);
        _repository.Release();
        Assert.Equal((await first)!.Restriction.Id, (await second)!.Restriction.Id);
        Assert.Equal(1, _repository.Stored);
    }

    [Fact]
    public async Task Whoever_sends_more_at_a_time_than_may_wait_is_told_to_come_again_and_nothing_is_stored_of_it()
    {
        var helmi = Citizen();
        var first = Disputes().DisputeAsync(helmi, 1, _patience.Token);
        await _repository.HeldAsync(_patience.Token);
        var waiting = Enumerable.Range(2, 8).Select(entry => Disputes().DisputeAsync(helmi, entry, _patience.Token)).ToList();
        var fault = (await Assert.ThrowsAsync<FaultException>(() => Disputes().DisputeAsync(helmi, 100, _patience.Token))).Fault;
        Assert.Equal(FaultKind.StoreUnavailable, fault.Kind);
        _repository.Release();
        await Task.WhenAll(waiting.Append(first));
        Assert.Equal(9, _repository.Stored);
    }

    public void Dispose()
    {
        // What a test that fails has left would hold those after it.
        _repository.Release();
        _patience.Dispose();
    }

    private static Requester Citizen() => PortalUnderTest.Citizen with { Self = Pseudonym.Read(Guid.NewGuid().ToByteArray().AsSpan(0, Pseudonym.Size)) };

    private Disputes Disputes()
    {
        var (options, services) = (PortalUnderTest.Options(false), new ServiceCollection().BuildServiceProvider());
        return new(new EveryEntry(), _repository, _repository, new(options, services), null!, _ids, options, TimeProvider.System, services, NullLogger<Disputes>.Instance);
    }

    /// <summary>Every entry is an access of a place of care.</summary>
    private sealed class EveryEntry : IAccessLog
    {
        public Task<AccessStretch> ForPersonAsync(Requester citizen, int limit, long beforeIndex, bool withOwn, CancellationToken cancel) => throw new NotSupportedException();

        public Task<ProvenLine?> ProveAsync(Requester citizen, long index, CancellationToken cancel) => Task.FromResult<ProvenLine?>(new(
            new(index, DateTimeOffset.UtcNow, "Keskussairaala", PortalUnderTest.Hospital, "read", "TREAT", "own-register", [new AuditItem("Observation", "o", "1", "1")], false, null), null!, "", ""));
    }

    /// <summary>Keeps what is stored, and the first request of who is held for as long as the test wants.</summary>
    private sealed class Repository : IInnerRequests, IWhoSeesWhat
    {
        private readonly TaskCompletionSource _arrived = new(TaskCreationOptions.RunContinuationsAsynchronously), _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly System.Collections.Concurrent.ConcurrentDictionary<Pseudonym, List<Declaration>> _stored = new();
        private int _sent;

        public int Stored => _stored.Values.Sum(static its => its.Count);

        /// <summary>Until the first request has come, which is held.</summary>
        public Task HeldAsync(CancellationToken patience) => _arrived.Task.WaitAsync(patience);

        public void Release() => _released.TrySetResult();

        public async Task<FhirAnswer> SendAsync(Requester requester, string method, string target, ReadOnlyMemory<byte> body, string? contentType, IHeaderDictionary? headers, CancellationToken cancel)
        {
            if (Interlocked.Increment(ref _sent) == 1)
            {
                _arrived.SetResult();
                await _released.Task;
            }
            var id = Guid.NewGuid().ToString("D");
            var all = _stored.GetOrAdd(requester.Person!.Value, static _ => []);
            lock (all)
                all.Add(Declarations.Read(System.Text.Json.JsonElement.Parse(body.Span))! with { Id = id });
            return new(201, new HeaderDictionary { ["Location"] = $"https://localhost/fhir/Consent/{id}/_history/1" }, []);
        }

        public Task<PolicySnapshot> PolicyAsync(Requester citizen, CancellationToken cancel) => Task.FromResult(PolicySnapshot.Compile(1, _stored.GetValueOrDefault(citizen.Person!.Value) ?? [], []));
        public Task<(SeenEntry, Asked)> ExplainAsync(Requester citizen, string type, string id, Onlooker onlooker, CancellationToken cancel) => throw new NotSupportedException();
        public Task<(IReadOnlyList<SeenOfController>, Asked)> PreviewAsync(Requester citizen, Declaration? about, CancellationToken cancel) => throw new NotSupportedException();
    }
}
