using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Repository;

/// <summary>Two repositories over one PostgreSQL database and one key service are one: what either has answered binds the other's next request.</summary>
public sealed class SeveralRepositoriesTests : IAsyncLifetime
{
    private readonly Alarms _alarms = new();
    private RepositoryWorld _world = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(await PostgresServer.NewDatabaseAsync(), builder => builder.Logging.AddProvider(_alarms));
        await _world.StartRepositoryAsync();
    }

    public async Task DisposeAsync()
    {
        await _world.DisposeAsync();
        _alarms.Dispose();
    }

    [Fact]
    public async Task What_is_written_at_either_is_read_and_found_at_the_other_at_once()
    {
        var at = await BothAsync();
        string? last = null;
        for (var i = 0; i < 12; i++)
        {
            var (writer, reader) = (at[i % 2], at[1 - i % 2]);
            var stored = (await writer.CreateAsync(Some.Observation(writer.PatientId, note: $"Muistiinpano {i}"))).Is(HttpStatusCode.Created);
            var id = (string)stored.Json["id"]!;
            // In the other one's opened record there is no such row yet.
            Assert.Equal(stored.ETag, (await reader.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK).ETag);
            Assert.Equal(i + 1, (await reader.SearchAsync("Observation", "_count=200")).Ids.Length);
            if (last is not null)
            {
                var former = (JsonObject)(await reader.GetAsync("Observation/" + last)).Json;
                former["note"] = new JsonArray(new JsonObject { ["text"] = "Korjattu" });
                var changed = (await reader.UpdateAsync(former, (await writer.GetAsync("Observation/" + last)).ETag)).Is(HttpStatusCode.OK);
                Assert.Equal(changed.ETag, (await writer.GetAsync("Observation/" + last)).ETag);
                Assert.Equal(2, (await writer.GetAsync($"Observation/{last}/_history")).Json["entry"]!.AsArray().Count);
            }
            last = id;
        }
        (await at[0].DeleteAsync("Observation/" + last)).Is(HttpStatusCode.NoContent);
        (await at[1].GetAsync("Observation/" + last)).Is(HttpStatusCode.Gone);
        Assert.Empty(await _alarms.OfAsync(_world));
    }

    [Fact]
    public async Task A_declaration_at_either_binds_the_next_request_at_the_other()
    {
        var at = await BothAsync();
        var id = "Observation/" + await at[0].StoreAsync(Some.Observation(at[0].PatientId));
        var version = 0L;
        for (var i = 0; i < 10; i++)
        {
            var (here, there) = (at[i % 2], at[1 - i % 2]);
            foreach (var one in at)
            {
                (await one.WithPolicy(version).GetAsync(id)).Is(HttpStatusCode.OK);
                (await one.WithPolicy(version).SearchAsync("Observation")).Is(HttpStatusCode.OK);
            }
            (await (_world.AsPerson(here.Grant.Compartment) with { Node = here.Node }).CreateAsync(Some.Consent(here.PatientId))).Is(HttpStatusCode.Created);
            // What was decided before is refused wherever it is asked next, by each road.
            (await there.WithPolicy(version).GetAsync(id)).Is(HttpStatusCode.PreconditionFailed);
            (await there.WithPolicy(version).SearchAsync("Observation")).Is(HttpStatusCode.PreconditionFailed);
            (await there.WithPolicy(version).GetAsync(id + "/_history")).Is(HttpStatusCode.PreconditionFailed);
            (await here.WithPolicy(version).GetAsync(id)).Is(HttpStatusCode.PreconditionFailed);
            version = (long)(await there.PolicyAsync()).Is(HttpStatusCode.OK).Json["version"]!;
            Assert.Equal(version, (long)(await here.PolicyAsync()).Json["version"]!);
        }
        Assert.Empty(await _alarms.OfAsync(_world));
    }

    /// <summary>Each writes one after the other; between them the head of the record decides, and who has lost begins anew.</summary>
    [Fact]
    public async Task Writes_of_one_person_through_both_follow_one_another_and_none_is_lost_refused_or_taken_for_a_fork()
    {
        const int Writers = 8, Each = 25;
        var at = await BothAsync();
        var stored = await Task.WhenAll(Enumerable.Range(0, Writers).Select(async writer =>
        {
            var ids = new List<string>();
            for (var i = 0; i < Each; i++)
                ids.Add(await at[writer % 2].StoreAsync(Some.Observation(at[0].PatientId)));
            return ids;
        }));
        foreach (var one in at)
        {
            var (found, next) = (new List<string>(), "Observation?_count=200");
            for (var page = await one.SearchAsync("Observation", "_count=200"); ; page = await one.GetAsync(next))
            {
                found.AddRange(page.Is(HttpStatusCode.OK).Ids);
                if (page.Link("next") is not { } link)
                    break;
                next = link;
            }
            Assert.Equal(stored.SelectMany(ids => ids).Order(), found.Order());
        }
        Assert.Empty(await _alarms.OfAsync(_world));
    }

    /// <summary>Neither knows of the person, and both are asked to begin the record.</summary>
    [Fact]
    public async Task A_record_that_both_begin_at_the_same_time_is_one()
    {
        for (var round = 0; round < 5; round++)
        {
            var at = await BothAsync();
            var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(async i =>
            {
                // As the gateway does: a grant that has opened one key is signed anew.
                for (var again = 0; ; again++)
                    if (await at[i % 2].CreateAsync(Some.Observation(at[0].PatientId)) is var reply && (reply.Status != HttpStatusCode.PreconditionFailed || again == 2))
                        return reply;
            }));
            var ids = replies.Select(reply => (string)reply.Is(HttpStatusCode.Created).Json["id"]!).Order().ToArray();
            foreach (var one in at)
                Assert.Equal(ids, (await one.SearchAsync("Observation", "_count=200")).Ids.Order());
        }
        Assert.Empty(await _alarms.OfAsync(_world));
    }

    /// <summary>One clinic's caller at each of the two, about the same new person.</summary>
    private async Task<Caller[]> BothAsync()
    {
        var caller = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        return [caller, caller with { Node = 1 }];
    }

    /// <summary>What repositories say that must never be.</summary>
    private sealed class Alarms : ILoggerProvider, ILogger
    {
        private readonly ConcurrentQueue<string> _said = [];

        /// <summary>After both have told the key service what there was to tell: that is when forks are seen.</summary>
        public async Task<string[]> OfAsync(RepositoryWorld world)
        {
            await world.StopRepositoryAsync();
            return [.. _said];
        }

        public ILogger CreateLogger(string categoryName) => this;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
                _said.Enqueue($"{eventId.Id} {formatter(state, exception)} {exception}");
        }

        public void Dispose()
        {
        }
    }
}
