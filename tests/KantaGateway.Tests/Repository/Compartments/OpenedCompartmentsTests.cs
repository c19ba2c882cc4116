using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Repository.Compartments;

/// <summary>Law 5: what is open was opened with a grant, a minute ago at most, and is gone afterwards.</summary>
public sealed class OpenedCompartmentsTests : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-").FullName;
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly KeyServiceDouble _keys = new();
    private SqliteStore _store = null!;
    private KeyClient? _client;
    private UntoldHeads? _heads;

    /// <summary>The key service's side of the contract: gives the one key to whoever asks, counts, and keeps what it is told.</summary>
    private sealed class KeyServiceDouble : HttpMessageHandler
    {
        public byte[] Key { get; } = RandomNumberGenerator.GetBytes(32);
        public int Unwraps { get; private set; }
        public HttpStatusCode Status { get; set; } = HttpStatusCode.OK;

        /// <summary>What a telling is answered; nothing is kept but where this is no error.</summary>
        public HttpStatusCode Told { get; set; } = HttpStatusCode.NoContent;
        public TaskCompletionSource IsTold { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public ConcurrentDictionary<string, TellItem> Heads { get; } = [];

        /// <summary>Waited for before a key is given.</summary>
        public Task MayUnwrap { get; set; } = Task.CompletedTask;

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            if (request.RequestUri!.AbsolutePath == "/v1/heads/known")
            {
                var asked = (await request.Content!.ReadFromJsonAsync<KnownRequest>(cancellationToken))!.Compartments;
                return new(HttpStatusCode.OK) { Content = JsonContent.Create(new { heads = asked.Select(one => Heads.GetValueOrDefault(one)), count = 0, places = 0 }) };
            }
            if (request.RequestUri.AbsolutePath == "/v1/heads")
            {
                if (Told == HttpStatusCode.NoContent)
                    foreach (var head in (await request.Content!.ReadFromJsonAsync<TellRequest>(cancellationToken))!.Heads)
                        Heads[head.Compartment] = head;
                IsTold.TrySetResult();
                return new(Told);
            }
            int number;
            lock (Key)
                number = ++Unwraps;
            await MayUnwrap;
            var wanted = (await request.Content!.ReadFromJsonAsync<UnwrapRequest>(cancellationToken))!.Keys;
            return new(HttpStatusCode.OK) { Content = JsonContent.Create(new { keys = wanted.Select(_ => new { status = (int)Status, key = Status == HttpStatusCode.OK ? new { key = Key, witness = "witness " + number } : null }) }) };
        }
    }

    public Task InitializeAsync()
    {
        StoreSchema.Migrate(Path.Combine(_folder, "store.db"));
        _store = new(Path.Combine(_folder, "store.db"));
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        if (_heads is not null)
            await _heads.DisposeAsync();
        _client?.Dispose();
        await _store.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Many_requests_at_once_ask_the_key_service_once()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        var leases = await Task.WhenAll(Enumerable.Range(0, 50).Select(async _ => await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)));
        Assert.Equal(1, _keys.Unwraps);
        Assert.All(leases, l => Assert.Equal(1, l.View.Head));
        foreach (var lease in leases)
            lease.Dispose();
    }

    [Fact]
    public async Task After_a_minute_another_grant_is_needed()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        _time.Advance(TimeSpan.FromSeconds(44));
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        Assert.Equal(1, _keys.Unwraps);
        _time.Advance(TimeSpan.FromSeconds(16));
        _keys.Status = HttpStatusCode.Forbidden;
        var refused = await Assert.ThrowsAsync<FaultException>(async () => await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default));
        Assert.Equal(FaultKind.KeyUnavailable, refused.Fault.Kind);
        _keys.Status = HttpStatusCode.OK;
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        Assert.Equal(3, _keys.Unwraps);
    }

    [Fact]
    public async Task Late_in_the_minute_the_next_grant_is_checked_and_it_stays_open()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        using (var opened = await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default))
            for (var check = 2; check <= 5; check++)
            {
                _time.Advance(TimeSpan.FromSeconds(45));
                using var first = await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default);
                using var second = await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default);
                Assert.Equal(check, _keys.Unwraps);
                // Nothing was decrypted anew.
                Assert.Same(opened.View, first.View);
                Assert.Same(first.View, second.View);
            }
        // Nobody asks in the last quarter: the minute is over.
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal(0, compartments.Count);
    }

    [Fact]
    public async Task Whose_grant_the_key_service_refuses_finds_nothing_open()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        _time.Advance(TimeSpan.FromSeconds(50));
        _keys.Status = HttpStatusCode.Forbidden;
        for (var i = 0; i < 2; i++)
            Assert.Equal(FaultKind.KeyUnavailable, (await Assert.ThrowsAsync<FaultException>(async () => await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default))).Fault.Kind);
        Assert.Equal(0, compartments.Count);
    }

    [Fact]
    public async Task Another_key_than_before_closes_the_compartment()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        _time.Advance(TimeSpan.FromSeconds(50));
        _keys.Key[0]++;
        await Assert.ThrowsAsync<TamperedException>(async () => await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default));
        Assert.Equal(0, compartments.Count);
    }

    [Fact]
    public async Task What_is_closed_is_zeroed_when_nobody_works_with_it_any_more()
    {
        using var compartments = Compartments();
        var lease = await compartments.OpenAsync(await SomebodyAsync(), "grant", IndexDepth.Entries, default);
        var entry = lease.View.Row(1)!.Entry;
        // Nobody asks again: the sweep closes it by itself.
        _time.Advance(TimeSpan.FromSeconds(120));
        Assert.Equal(0, compartments.Count);
        Assert.True(entry.ContainsAnyExcept((byte)0));
        Assert.Equal("Observation", lease.View.Row(1)!.Type);
        lease.Dispose();
        Assert.False(entry.ContainsAnyExcept((byte)0));
    }

    [Fact]
    public async Task What_was_opened_for_reading_has_no_entries_until_it_is_searched()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        using (var read = await compartments.OpenAsync(person, "grant", IndexDepth.Headers, default))
        {
            Assert.Equal(("Observation", 1), (read.View.Row(1)!.Type, read.View.Head));
            Assert.Throws<InvalidOperationException>(() => read.View.Row(1)!.Entry.Length);
            using var searched = await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default);
            Assert.Same(read.View.Row(1), searched.View.Row(1));
            Assert.Equal(1, new IndexEntry(searched.View.Row(1)!.Entry).RowSequence);
        }
        Assert.Equal(1, _keys.Unwraps);
    }

    [Fact]
    public void A_header_takes_as_many_bytes_as_it_is_said_to() => Assert.Equal(60, System.Runtime.CompilerServices.Unsafe.SizeOf<RowTable.Facts>());

    [Fact]
    public async Task No_more_is_decrypted_than_allowed()
    {
        using var compartments = Compartments(maxBytes: 30_000);
        for (var i = 0; i < 50; i++)
            (await compartments.OpenAsync(await SomebodyAsync(), "grant", IndexDepth.Entries, default)).Dispose();
        Assert.InRange(compartments.Count, 1, 12);
    }

    [Fact]
    public async Task No_more_are_open_than_allowed()
    {
        using var compartments = Compartments(maxCount: 5);
        for (var i = 0; i < 20; i++)
        {
            (await compartments.OpenAsync(await SomebodyAsync(), "grant", IndexDepth.Entries, default)).Dispose();
            Assert.InRange(compartments.Count, 1, 5);
        }
    }

    [Fact]
    public async Task Room_is_made_while_others_open_and_close()
    {
        using var compartments = Compartments(maxCount: 20);
        var people = new List<Pseudonym>();
        for (var i = 0; i < 60; i++)
            people.Add(await SomebodyAsync());
        await Parallel.ForAsync(0, 4, async (worker, _) =>
        {
            for (var i = 0; i < 2_000; i++)
                using (var lease = await compartments.OpenAsync(people[(worker * 13 + i * 7) % people.Count], "grant", IndexDepth.Entries, default))
                    Assert.Equal(1, lease.View.Head);
        });
    }

    [Fact]
    public async Task A_person_nobody_knows_needs_no_key()
    {
        using var compartments = Compartments();
        using var lease = await compartments.OpenAsync(RepositoryWorld.SomeNumber(), "grant", IndexDepth.Entries, default);
        Assert.Equal((false, 0), (lease.Exists, lease.View.Head));
        Assert.Equal(0, _keys.Unwraps);
    }

    /// <summary>Who has it open still writes to it while another opens it anew.</summary>
    [Fact]
    public async Task What_is_written_while_a_compartment_is_opened_is_no_sign_that_rows_are_gone()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        _keys.Told = HttpStatusCode.ServiceUnavailable;
        using var writer = await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default);
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal(0, compartments.Count);
        var silent = new TaskCompletionSource();
        _keys.MayUnwrap = silent.Task;
        var opening = compartments.OpenAsync(person, "grant", IndexDepth.Entries, default).AsTask();
        while (_keys.Unwraps < 2)
            await Task.Yield();
        compartments.Committed(writer.ToldOf(await AppendAsync(person, writer.View.TagOf(1))));
        silent.SetResult();
        using var reader = await opening;
        Assert.Equal(2, (await reader.RefreshAsync(default)).Head);
    }

    [Fact]
    public async Task What_was_told_too_late_is_told_with_the_next_check_of_a_grant()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        _keys.Told = HttpStatusCode.Forbidden;
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        await _keys.IsTold.Task;
        Assert.Empty(_keys.Heads);
        _keys.Told = HttpStatusCode.NoContent;
        _time.Advance(TimeSpan.FromSeconds(50));
        (await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default)).Dispose();
        await TellAllAsync();
        Assert.Equal((1, "witness 2"), (_keys.Heads[person.Encode()].Sequence, _keys.Heads[person.Encode()].Witness));
    }

    /// <summary>Who has written them was killed, perhaps, before it told.</summary>
    [Fact]
    public async Task Who_sees_what_others_have_written_tells_it()
    {
        using var compartments = Compartments();
        var person = await SomebodyAsync();
        using (var lease = await compartments.OpenAsync(person, "grant", IndexDepth.Entries, default))
        {
            await _keys.IsTold.Task;
            await AppendAsync(person, lease.View.TagOf(1));
            Assert.Equal(2, (await lease.RefreshAsync(default)).Head);
        }
        await TellAllAsync();
        Assert.Equal(2, _keys.Heads[person.Encode()].Sequence);
    }

    private async Task TellAllAsync()
    {
        await _heads!.DisposeAsync();
        _heads = null;
    }

    private OpenedCompartments Compartments(int maxCount = 100, long maxBytes = 256 << 20)
    {
        _client ??= new KeyClient(new HttpClient(_keys) { BaseAddress = new("http://localhost") });
        _heads ??= new UntoldHeads(_client, _time, NullLogger<UntoldHeads>.Instance);
        return new(_store, _client, _heads, new IdentifierCipher(new byte[32]), ProtectionRules.Default, _time, maxCount, maxBytes, TimeSpan.FromSeconds(60));
    }

    private async Task<Pseudonym> SomebodyAsync()
    {
        var person = RepositoryWorld.SomeNumber();
        await AppendAsync(person, null);
        return person;
    }

    /// <summary>Appends a row as another process does.</summary>
    /// <param name="before">Tag of row 1, which it follows; null: it is that.</param>
    private async Task<CompartmentHead> AppendAsync(Pseudonym person, UInt128? before)
    {
        var sequence = before is null ? 1 : 2;
        using var cipher = new AesGcm(_keys.Key, 16);
        var entry = Indexer.Build(new() { Type = "Observation", ResourceSequence = sequence, RowSequence = sequence, Controller = RepositoryWorld.Aurora, LastUpdated = DateTimeOffset.UnixEpoch }, null);
        var sealedEntry = RowSeal.SealIndex(cipher, person, sequence, before ?? 0, entry);
        var tag = RowSeal.TagOf(sealedEntry);
        Assert.True(await _store.AppendAsync([new(person, sequence - 1, before is null ? [1] : null, [new(sequence, sealedEntry, RowSeal.SealBody(cipher, person, sequence, tag, sequence, "Observation", "{}"u8))])], default));
        return CompartmentHead.Of(person, sequence, tag);
    }
}
