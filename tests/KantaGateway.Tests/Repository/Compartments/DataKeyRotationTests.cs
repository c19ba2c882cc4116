using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Repository.Compartments;

/// <summary>One person's data key is replaced and all of the record sealed anew while requests go on, and the old key and what is sealed under it open nothing afterwards.</summary>
public abstract class DataKeyRotationTests : IAsyncLifetime
{
    /// <summary>Of two parts and a bit.</summary>
    private static readonly byte[] Scan = [.. Enumerable.Range(0, 2 * Contents.PartSize + 1_000).Select(i => (byte)(i * 7))];

    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly FakeLogCollector _log = new();
    private readonly List<FaultyStore> _stores = [];
    private RepositoryWorld _world = null!;
    private HostileAdministrator _administrator = null!;

    /// <summary>Of the repository that was started last.</summary>
    private FaultyStore Store => _stores[^1];

    private protected abstract Task<PostgresDatabase?> PostgresAsync();

    public async Task InitializeAsync()
    {
        var postgres = await PostgresAsync();
        _world = await RepositoryWorld.StartAsync(postgres, builder =>
        {
            builder.Logging.AddProvider(new FakeLoggerProvider(_log));
            StoreInFront.Put(builder, real =>
            {
                _stores.Add(new(real));
                return _stores[^1];
            });
        }, _time);
        _administrator = HostileAdministrator.Of(_world.DatabaseFile, postgres);
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task All_of_the_record_is_sealed_anew_and_answers_as_before_here_on_another_node_and_after_a_restart()
    {
        var (person, roads) = await WithRecordAsync();
        await _world.StartRepositoryAsync();
        var (here, there) = (person, person with { Node = 1 });
        var before = await AnswersAsync(here, roads);
        Assert.Equal(before, await AnswersAsync(there, roads));
        var copy = await CopyAsync(person);

        var outcome = (await _world.RotateAsync(person.Grant.Compartment)).Is(HttpStatusCode.OK).Json;
        Assert.Equal(copy.Rows.Count, (int)outcome["rows"]!);
        Assert.Equal((copy.Head.Hex, (await CopyAsync(person)).Head.Hex), ((string)outcome["before"]!, (string)outcome["after"]!));

        // Nothing is left as it was, the entries that are searched neither.
        var now = await CopyAsync(person);
        Assert.NotEqual(copy.Wrapped, now.Wrapped);
        for (var i = 0; i < copy.Rows.Count; i++)
            Assert.True(!copy.Rows[i].Entry.SequenceEqual(now.Rows[i].Entry) && !copy.Rows[i].Body.SequenceEqual(now.Rows[i].Body));
        Assert.NotEqual(copy.Content, now.Content);
        Assert.Equal(before, await AnswersAsync(here, roads));
        Assert.Equal(before, await AnswersAsync(there, roads));
        await here.StoreAsync(Some.Observation(person.PatientId));
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        Assert.Equal(copy.Rows.Count + 1, await _administrator.HeadAsync(person.Grant.Compartment));
        Assert.Equal(before[..2], (await AnswersAsync(Anew(person), roads))[..2]);
        HasNoAlarm();
        // Whoever looks at the store without anybody's key finds it whole; and not, where the old rows are put back.
        await _world.StopRepositoryAsync();
        await VerifyAsync(0);
        await PutAsync(person.Grant.Compartment, copy, copy.Rows.Count);
        await VerifyAsync(0);
        await _administrator.SetKeyAsync(person.Grant.Compartment, copy.Wrapped);
        await VerifyAsync(1);

        async Task VerifyAsync(int exitCode)
        {
            await using var console = new StringWriter();
            var ended = await VerifyStore.RunAsync(_world.Options, console);
            Assert.True(ended == exitCode, $"{ended}: {console}");
        }
    }

    [Fact]
    public async Task The_old_key_opens_nothing_and_nothing_that_is_sealed_under_it_opens_any_more()
    {
        var (person, roads) = await WithRecordAsync();
        var (compartment, old) = (person.Grant.Compartment, await CopyAsync(person));
        var leaked = await KeyAsync(person, old.Wrapped);
        Opens(leaked!, compartment, old);
        (await _world.RotateAsync(compartment)).Is(HttpStatusCode.OK);
        var now = await CopyAsync(person);
        // Whoever has the old key reads nothing that is in the store now; the key service gives the old one to nobody, and wraps it anew for nobody.
        Assert.Throws<TamperedException>(() => Opens(leaked!, compartment, now));
        Opens((await KeyAsync(person, now.Wrapped))!, compartment, now);
        Assert.Null(await KeyAsync(person, old.Wrapped));
        Assert.Equal((bool[])[false, true], await RewrapAsync(compartment, old.Wrapped, now.Wrapped));
        await _world.StopKeysAsync();
        await _world.StartKeysAsync();
        Assert.Null(await KeyAsync(person, old.Wrapped));

        // Put back by who has all rights in the database, each alone and all together, while nothing is known of how far the record is: as out of a backup.
        var attacks = new (string Name, Func<Task> CarryOutAsync)[]
        {
            ("the old key", () => _administrator.SetKeyAsync(compartment, old.Wrapped)),
            ("the old rows", () => PutAsync(compartment, old, old.Rows.Count)),
            ("one old row among new ones", () => PutAsync(compartment, old, 1)),
            ("one old row at the end of new ones", () => PutLastAsync(compartment, old)),
            ("one old body", () => _administrator.PutAsync("body", compartment, 2, old.Rows[1].Body)),
            ("the old key and all old rows", async () =>
            {
                await PutAsync(compartment, old, old.Rows.Count);
                await _administrator.SetKeyAsync(compartment, old.Wrapped);
            }),
            ("the old key and rows, and new ones behind them", async () =>
            {
                await PutAsync(compartment, old, old.Rows.Count - 1);
                await _administrator.SetKeyAsync(compartment, old.Wrapped);
            }),
        };
        foreach (var (name, carryOutAsync) in attacks)
        {
            await _world.StopRepositoryAsync();
            await carryOutAsync();
            await _world.ForgetHeadsAsync();
            await _world.StartRepositoryAsync();
            // The body is that of an older version, which is not asked for by each road.
            foreach (var road in name == "one old body" ? roads[1..2] : roads)
                Assert.True((await road(Anew(person))).Status == HttpStatusCode.InternalServerError, name);
            Assert.Contains(_log.GetSnapshot(clear: true), static line => line.Level == LogLevel.Critical);
            await PutAsync(compartment, now, now.Rows.Count);
            await _administrator.SetKeyAsync(compartment, now.Wrapped);
        }
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        (await Anew(person).SearchAsync("Observation")).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_content_reads_as_before_and_its_old_parts_are_swept()
    {
        var (person, _) = await WithRecordAsync();
        var (compartment, old) = (person.Grant.Compartment, await CopyAsync(person));
        var part = await _administrator.PartAsync(compartment, old.Content, 1);
        (await _world.RotateAsync(compartment)).Is(HttpStatusCode.OK);
        var now = await CopyAsync(person);
        // Under its old name and its new one it is not what was sealed for that place.
        await _administrator.PutPartAsync(compartment, now.Content, 1, part);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => RawAsync(person));
        // Who reads the old parts, on another node, does so to their end; nobody begins to. They go with those of uploads that came to nothing.
        Assert.Equal(part, await _administrator.PartAsync(compartment, old.Content, 1));
        await Store.SweepPartsAsync(Guid.CreateVersion7(_time.GetUtcNow() + TimeSpan.FromHours(1)), default);
        var buffer = new byte[Contents.PartSize + RowSeal.Overhead];
        Assert.Equal(-1, await Store.ReadPartAsync(compartment, old.Content, 1, buffer, default));
        Assert.Equal(buffer.Length, await Store.ReadPartAsync(compartment, now.Content, 1, buffer, default));
    }

    public enum Kill
    {
        BeforeTheSwap,
        BeforeTheCommit,
        AfterTheCommit,
    }

    [Theory]
    [InlineData(Kill.BeforeTheSwap, true), InlineData(Kill.BeforeTheCommit, true), InlineData(Kill.AfterTheCommit, true)]
    [InlineData(Kill.BeforeTheSwap, false), InlineData(Kill.BeforeTheCommit, false), InlineData(Kill.AfterTheCommit, false)]
    public async Task A_kill_leaves_the_old_record_or_the_new_one_and_the_same_act_ends_it(Kill kill, bool isReadFirst)
    {
        var (person, roads) = await WithRecordAsync();
        var (compartment, old) = (person.Grant.Compartment, await CopyAsync(person));
        var before = await AnswersAsync(person, roads);
        Store.Kill = kill;
        (await _world.RotateAsync(compartment)).Is(HttpStatusCode.ServiceUnavailable);
        await _world.StopRepositoryAsync();
        await _world.StopKeysAsync();
        await _world.StartKeysAsync();
        await _world.StartRepositoryAsync();
        Assert.Equal(kill == Kill.AfterTheCommit, !(await CopyAsync(person)).Wrapped.SequenceEqual(old.Wrapped));
        if (isReadFirst)
        {
            Assert.Equal(before, await AnswersAsync(Anew(person), roads));
            // Who has been given the new key has ended it: the old one is put back in vain.
            Assert.Equal(kill == Kill.AfterTheCommit, await KeyAsync(person, old.Wrapped) is null);
            await person.StoreAsync(Some.Observation(person.PatientId));
        }
        var outcome = (await _world.RotateAsync(compartment)).Is(HttpStatusCode.OK).Json;
        Assert.Equal(outcome.ToJsonString(), (await _world.RotateAsync(compartment)).Is(HttpStatusCode.OK).Text);
        if (!isReadFirst)
            Assert.Equal((old.Rows.Count, old.Head.Hex), ((int)outcome["rows"]!, (string)outcome["before"]!));
        Assert.Null(await KeyAsync(person, old.Wrapped));
        Assert.Equal(before[..2], (await AnswersAsync(Anew(person), roads))[..2]);
        // Another act replaces the key once more, and is not the first one said again.
        var second = await CopyAsync(person);
        (await _world.RotateAsync(compartment, "another act")).Is(HttpStatusCode.OK);
        Assert.Null(await KeyAsync(person, second.Wrapped));
        Assert.Equal(before[..2], (await AnswersAsync(Anew(person), roads))[..2]);
        HasNoAlarm();
    }

    [Fact]
    public async Task No_request_fails_and_no_write_is_lost_under_load_on_two_nodes()
    {
        var person = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await person.StoreAsync(Some.Patient());
        await _world.StartRepositoryAsync();
        using var stop = new CancellationTokenSource();
        var (asked, stored) = (0, new List<string>());
        var load = Enumerable.Range(0, 4).Select(worker => Task.Run(async () =>
        {
            var caller = person with { Node = worker % 2 };
            while (!stop.IsCancellationRequested)
            {
                var created = await AskedAnewAsync(() => caller.CreateAsync(Some.Observation(person.PatientId)));
                var id = (string)created.Is(HttpStatusCode.Created).Json["id"]!;
                lock (stored)
                    stored.Add(id);
                (await AskedAnewAsync(() => caller.SearchAsync("Observation", "_count=5"))).Is(HttpStatusCode.OK);
                (await AskedAnewAsync(() => caller.GetAsync("Observation/" + id))).Is(HttpStatusCode.OK);
                Interlocked.Increment(ref asked);
            }
        })).ToArray();
        for (var i = 0; i < 6; i++)
        {
            var until = Volatile.Read(ref asked) + 4;
            while (Volatile.Read(ref asked) < until)
            {
                Assert.DoesNotContain(load, static worker => worker.IsFaulted);
                await Task.Yield();
            }
            (await _world.RotateAsync(person.Grant.Compartment, $"act {i}", i % 2)).Is(HttpStatusCode.OK);
        }
        await stop.CancelAsync();
        await Task.WhenAll(load);
        HasNoAlarm();
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        foreach (var id in stored)
            (await AskedAnewAsync(() => Anew(person).GetAsync("Observation/" + id))).Is(HttpStatusCode.OK);
        HasNoAlarm();
    }

    [Fact]
    public async Task A_node_that_was_still_to_tell_how_far_the_old_record_was_raises_no_alarm()
    {
        var (person, _) = await WithRecordAsync();
        await _world.StartRepositoryAsync();
        var there = person with { Node = 1 };
        // The first is told at once, the second after a while that does not pass here but ends with the node.
        foreach (var _ in new[] { 1, 2 })
            await there.StoreAsync(Some.Observation(person.PatientId));
        (await _world.RotateAsync(person.Grant.Compartment)).Is(HttpStatusCode.OK);
        await _world.StopRepositoryAsync();
        HasNoAlarm();
        await _world.StartRepositoryAsync();
        Assert.Equal(3, (int)(await Anew(person).SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
        HasNoAlarm();
    }

    [Fact]
    public async Task A_content_that_arrives_and_one_that_is_read_while_it_is_rotated_do_so_to_their_end()
    {
        var (person, _) = await WithRecordAsync();
        await _world.StartRepositoryAsync();
        var id = (string)(await (person with { Node = 1 }).SearchAsync("Binary")).Is(HttpStatusCode.OK).Json["entry"]![0]!["resource"]!["id"]!;
        // Another node reads: it has the old key, and has opened the first part when the record is sealed anew.
        Store.StopsAtPart = 1;
        var reading = _world.SendToAsync(1, person.Grant, null, "GET", "/fhir/Binary/" + id, null, null, ("Accept", "image/png"));
        await Store.Stopped.Reader.ReadAsync();
        // This one takes one in, of which a part is stored.
        while (_stores[0].PartStored.Reader.TryRead(out _))
        {
            // Of the record that there is.
        }
        var sent = new Pipe();
        var arriving = _world.SendStreamAsync(person.Grant, sent.Reader.AsStream(), "image/png", (RawContent.SecurityContextHeader, "Patient/" + person.PatientId));
        await sent.Writer.WriteAsync((byte[])[.. Scan, .. Scan]);
        await _stores[0].PartStored.Reader.ReadAsync();
        (await _world.RotateAsync(person.Grant.Compartment)).Is(HttpStatusCode.OK);
        Store.GoOn.Writer.TryWrite(true);
        Assert.Equal(Scan, (await reading).Is(HttpStatusCode.OK).Body);
        await sent.Writer.CompleteAsync();
        var stored = (string)(await arriving).Is(HttpStatusCode.Created).Json["id"]!;
        foreach (var (node, binary, content) in new[] { (0, stored, (byte[])[.. Scan, .. Scan]), (1, stored, [.. Scan, .. Scan]), (0, id, Scan), (1, id, Scan) })
            Assert.Equal(content, (await AskedAnewAsync(() => _world.SendToAsync(node, person.Grant, null, "GET", "/fhir/Binary/" + binary, null, null, ("Accept", "image/png")))).Is(HttpStatusCode.OK).Body);
        HasNoAlarm();
    }

    [Fact]
    public async Task What_is_stored_or_wrapped_anew_while_it_begins_is_rotated_too()
    {
        var (person, roads) = await WithRecordAsync();
        var (compartment, old) = (person.Grant.Compartment, await CopyAsync(person));
        var binary = "";
        Store.BeforeTheSwap.Enqueue(async () => binary = (string)(await _world.SendStreamAsync(person.Grant, new MemoryStream(Scan), "image/png", (RawContent.SecurityContextHeader, "Patient/" + person.PatientId)))
            .Is(HttpStatusCode.Created).Json["id"]!);
        Store.BeforeTheSwap.Enqueue(async () =>
        {
            Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
            (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
            await Store.KeyReplaced.Reader.ReadAsync();
        });
        Store.BeforeTheSwap.Enqueue(() => person.StoreAsync(Some.Observation(person.PatientId)));
        Assert.Equal(old.Rows.Count + 2, (int)(await _world.RotateAsync(compartment)).Is(HttpStatusCode.OK).Json["rows"]!);
        Assert.Empty(Store.BeforeTheSwap);
        Assert.Null(await KeyAsync(person, old.Wrapped));
        Assert.Equal(Scan, (await _world.SendAsync(person.Grant, null, "GET", "/fhir/Binary/" + binary, null, null, ("Accept", "image/png"))).Is(HttpStatusCode.OK).Body);
        (await roads[0](person)).Is(HttpStatusCode.OK);
        HasNoAlarm();
    }

    [Fact]
    public async Task A_record_that_is_not_as_it_was_written_gets_no_new_seal()
    {
        var (person, _) = await WithRecordAsync();
        var (compartment, old) = (person.Grant.Compartment, await CopyAsync(person));
        foreach (var attackAsync in new Func<Task>[]
        {
            async () => await _administrator.PutAsync("body", compartment, 2, [.. old.Rows[1].Body.Select((b, i) => i == 20 ? (byte)(b ^ 1) : b)]),
            () => _administrator.RemoveAsync("body", compartment, 2),
            () => _administrator.CutAsync(compartment, old.Rows.Count - 1),
        })
        {
            await attackAsync();
            (await _world.RotateAsync(compartment)).Is(HttpStatusCode.InternalServerError);
            Assert.Contains(_log.GetSnapshot(clear: true), static line => line.Level == LogLevel.Critical);
            Assert.Equal(old.Wrapped, (await Store.ReadIndexAsync(compartment, long.MaxValue, default))!.WrappedKey);
            await PutAsync(compartment, old, old.Rows.Count);
            await _administrator.SetHeadAsync(compartment, old.Rows.Count);
        }
        (await _world.RotateAsync(compartment)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task How_far_it_is_shows_where_other_rotations_do()
    {
        var (person, _) = await WithRecordAsync();
        Store.StopsAt = 3;
        var rotating = _world.RotateAsync(person.Grant.Compartment, "the act");
        await Store.Stopped.Reader.ReadAsync();
        var record = (await _world.AskAsync(HttpMethod.Get, "/rotation")).Is(HttpStatusCode.OK).Json["records"]!.AsArray().Single()!;
        var all = await _administrator.HeadAsync(person.Grant.Compartment);
        Assert.Equal(("the act", all, all - 2), ((string)record["act"]!, (long)record["all"]!, (long)record["left"]!));
        Assert.InRange((double)record["percent"]!, 1, 99);
        // Others wait for nobody: reads go on meanwhile, and another act is told to wait.
        (await person.SearchAsync("Observation")).Is(HttpStatusCode.OK);
        (await _world.RotateAsync(person.Grant.Compartment, "another act")).Is(HttpStatusCode.ServiceUnavailable);
        Store.GoOn.Writer.TryWrite(true);
        (await rotating).Is(HttpStatusCode.OK);
        Assert.Empty((await _world.AskAsync(HttpMethod.Get, "/rotation")).Json["records"]!.AsArray());
    }

    [Fact]
    public async Task Nothing_is_done_without_the_gateways_word_that_two_persons_want_it_nor_for_who_has_no_record()
    {
        var (person, _) = await WithRecordAsync();
        var rotation = new DataKeyRotation("act", person.Grant.Compartment, "proposer", "approver");
        using var another = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var wrapped = await _administrator.KeyAsync(person.Grant.Compartment);
        foreach (var word in (string?[])[null, "x", _world.Signer.SignServiceToken(), _world.Signer.Sign(person.Grant), _world.Signer.Sign(new KeyErasure("act", person.Grant.Compartment, "proposer", "approver")),
            new GrantSigner(another, _time).Sign(rotation), _world.Signer.Sign(rotation with { ApprovedBy = "proposer" }), _world.Signer.Sign(rotation with { Compartment = Pseudonym.Directory })])
        {
            (await _world.AskAsync(HttpMethod.Post, "/data-key-rotations", word)).Is(HttpStatusCode.Unauthorized);
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rotations") { Content = JsonContent.Create(new { wrapped }) };
            request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + word);
            using var answer = await _world.KeyService.SendAsync(request);
            Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        }
        Assert.Equal(wrapped, await _administrator.KeyAsync(person.Grant.Compartment));
        (await _world.RotateAsync(RepositoryWorld.SomeNumber())).Is(HttpStatusCode.NotFound);
        await _world.EraseAsync(person.Grant.Compartment);
        (await _world.RotateAsync(person.Grant.Compartment)).Is(HttpStatusCode.NotFound);
    }

    // :: What a record is, and what is stored of it

    /// <summary>A Patient, an Observation of two versions, one that was deleted, and a Binary of several parts, of two versions.</summary>
    private async Task<(Caller Person, Func<Caller, Task<Reply>>[] Roads)> WithRecordAsync()
    {
        var person = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await person.StoreAsync(Some.Patient());
        var id = await person.StoreAsync(Some.Observation(person.PatientId));
        var read = (await person.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK);
        var changed = read.Json;
        changed["note"]![0]!["text"] = "Toinen versio";
        (await person.UpdateAsync(changed, read.ETag)).Is(HttpStatusCode.OK);
        var gone = await person.StoreAsync(Some.Observation(person.PatientId, "29463-7"));
        (await person.DeleteAsync("Observation/" + gone)).Is(HttpStatusCode.NoContent);
        var stored = await _world.SendStreamAsync(person.Grant, new MemoryStream(Scan), "image/png", (RawContent.SecurityContextHeader, "Patient/" + person.PatientId));
        var binary = (string)stored.Is(HttpStatusCode.Created).Json["id"]!;
        return (person,
        [
            caller => caller.GetAsync("Observation/" + id), caller => caller.GetAsync($"Observation/{id}/_history"),
            caller => caller.SearchAsync("Observation", "code=8867-4"), caller => caller.GetAsync($"Observation/{gone}/_history"), caller => caller.GetAsync("Binary/" + binary),
        ]);
    }

    private sealed record Row(byte[] Entry, byte[] Body);

    /// <summary>What is stored of a record.</summary>
    private sealed record Copy(byte[] Wrapped, IReadOnlyList<Row> Rows, Guid Content, CompartmentHead Head);

    private async Task<Copy> CopyAsync(Caller person)
    {
        var compartment = person.Grant.Compartment;
        var rows = new List<Row>();
        for (var sequence = 1; sequence <= await _administrator.HeadAsync(compartment); sequence++)
            rows.Add(new(await _administrator.ReadAsync("entry", compartment, sequence), await _administrator.ReadAsync("body", compartment, sequence)));
        var last = rows.Count;
        return new(await _administrator.KeyAsync(compartment), rows, await ContentAsync(compartment, rows.Count), CompartmentHead.Of(compartment, last, RowSeal.TagOf(rows[^1].Entry)));
    }

    private async Task<Guid> ContentAsync(Pseudonym compartment, int head)
    {
        for (var sequence = head; sequence > 0; sequence--)
            try
            {
                return await _administrator.ContentAsync(compartment, sequence);
            }
            catch (InvalidOperationException)
            {
                // The row before it, perhaps.
            }
        return default;
    }

    private async Task PutAsync(Pseudonym compartment, Copy copy, int rows)
    {
        for (var i = 0; i < rows; i++)
        {
            await _administrator.PutAsync("entry", compartment, i + 1, copy.Rows[i].Entry);
            await _administrator.PutAsync("body", compartment, i + 1, copy.Rows[i].Body);
        }
    }

    private async Task PutLastAsync(Pseudonym compartment, Copy copy)
    {
        await _administrator.PutAsync("entry", compartment, copy.Rows.Count, copy.Rows[^1].Entry);
        await _administrator.PutAsync("body", compartment, copy.Rows.Count, copy.Rows[^1].Body);
    }

    /// <exception cref="TamperedException">They do not.</exception>
    private static void Opens(byte[] key, Pseudonym compartment, Copy copy)
    {
        using var cipher = new AesGcm(key, 16);
        var before = UInt128.Zero;
        for (var i = 0; i < copy.Rows.Count; i++)
        {
            RowSeal.OpenIndex(cipher, compartment, i + 1, before, copy.Rows[i].Entry, new byte[copy.Rows[i].Entry.Length - RowSeal.Overhead]);
            before = RowSeal.TagOf(copy.Rows[i].Entry);
        }
    }

    /// <summary>What the key service gives for a wrapped key; null: it refuses it.</summary>
    private async Task<byte[]?> KeyAsync(Caller person, byte[] wrapped)
    {
        using var answer = await _world.KeyService.PostAsJsonAsync("/v1/keys/unwrap", new { keys = new[] { new { grant = _world.Signer.Sign(Anew(person).Grant), wrapped } } });
        var key = JsonNode.Parse(await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync())!["keys"]![0]!;
        if ((int)key["status"]! == 422)
            return null;
        Assert.Equal(200, (int)key["status"]!);
        return Convert.FromBase64String((string)key["key"]!["key"]!);
    }

    private async Task<bool[]> RewrapAsync(Pseudonym compartment, params byte[][] wrapped)
    {
        using var answer = await _world.KeyService.PostAsJsonAsync("/v1/keys/rewrap", new { keys = wrapped.Select(one => new { compartment = compartment.Encode(), wrapped = one }) });
        return [.. JsonNode.Parse(await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync())!["wrapped"]!.AsArray().Select(one => one is not null)];
    }

    private async Task RawAsync(Caller person)
    {
        var id = (string)(await Anew(person).SearchAsync("Binary")).Json["entry"]![0]!["resource"]!["id"]!;
        await _world.SendAsync(Anew(person).Grant, null, "GET", "/fhir/Binary/" + id, null, null, ("Accept", "image/png"));
    }

    private async Task<string[]> AnswersAsync(Caller caller, Func<Caller, Task<Reply>>[] roads)
    {
        var answers = new List<string>();
        foreach (var road in roads)
        {
            var answer = (await AskedAnewAsync(() => road(Anew(caller) with { Node = caller.Node }))).Is(HttpStatusCode.OK).Json;
            // A search says when it was answered.
            (answer["meta"] as JsonObject)?.Remove("lastUpdated");
            answer.AsObject().Remove("link");
            answers.Add(answer.ToJsonString());
        }
        return [.. answers];
    }

    /// <summary>As the gateway does: where the repository says that a grant is spent, it signs another.</summary>
    private static async Task<Reply> AskedAnewAsync(Func<Task<Reply>> ask)
    {
        var reply = await ask();
        for (var again = 0; again < 2 && reply.Status == HttpStatusCode.PreconditionFailed && reply.Headers.ContainsKey(InternalHeaders.GrantSpent); again++)
            reply = await ask();
        return reply;
    }

    private void HasNoAlarm() => Assert.DoesNotContain(_log.GetSnapshot(), static line => line.Level == LogLevel.Critical);

    /// <summary>The same caller, with a grant of now.</summary>
    private Caller Anew(Caller caller) => _world.As(caller.Grant.Compartment, RepositoryWorld.Aurora);

    /// <summary>Is killed at a step of the swap, once, or stops in it.</summary>
    private sealed class FaultyStore(ICompartmentStore real) : StoreInFront(real)
    {
        public Kill? Kill { get; set; }

        /// <summary>Before which row it waits.</summary>
        public long? StopsAt { get; set; }

        /// <summary>Before which part of a content it waits, once.</summary>
        public int? StopsAtPart { get; set; }

        /// <summary>What happens meanwhile, before each of the next attempts.</summary>
        public Queue<Func<Task>> BeforeTheSwap { get; } = [];

        public Channel<int> PartStored { get; } = Channel.CreateUnbounded<int>();
        public Channel<int> KeyReplaced { get; } = Channel.CreateUnbounded<int>();
        public Channel<bool> Stopped { get; } = Channel.CreateUnbounded<bool>();
        public Channel<bool> GoOn { get; } = Channel.CreateUnbounded<bool>();

        public override async ValueTask<bool> ResealAsync(ReplacedKey key, Func<StoredRow, SealedRow> seal, Func<long, Task> settle, CancellationToken cancel)
        {
            if (BeforeTheSwap.TryDequeue(out var meanwhile))
                await meanwhile();
            var kill = Kill;
            Kill = null;
            if (kill == DataKeyRotationTests.Kill.BeforeTheSwap)
                throw new StoreException("Killed.");
            var done = await base.ResealAsync(key, StopsAt is { } at ? row => Stopping(at, seal, row) : seal, kill == DataKeyRotationTests.Kill.BeforeTheCommit ? async head =>
            {
                await settle(head);
                throw new StoreException("Killed.");
            } : settle, cancel);
            return kill == DataKeyRotationTests.Kill.AfterTheCommit ? throw new StoreException("Killed.") : done;
        }

        public override async ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel)
        {
            await base.StorePartAsync(compartment, content, number, sealedPart, cancel);
            PartStored.Writer.TryWrite(number);
        }

        public override async ValueTask<int> ReadPartAsync(Pseudonym compartment, Guid content, int number, byte[] buffer, CancellationToken cancel)
        {
            if (number == StopsAtPart)
            {
                StopsAtPart = null;
                Stopped.Writer.TryWrite(true);
                await GoOn.Reader.ReadAsync(cancel);
            }
            return await base.ReadPartAsync(compartment, content, number, buffer, cancel);
        }

        public override async ValueTask<int> ReplaceKeysAsync(IReadOnlyList<ReplacedKey> keys, CancellationToken cancel)
        {
            var replaced = await base.ReplaceKeysAsync(keys, cancel);
            if (replaced > 0)
                KeyReplaced.Writer.TryWrite(replaced);
            return replaced;
        }

        private SealedRow Stopping(long at, Func<StoredRow, SealedRow> seal, StoredRow row)
        {
            if (row.Sequence == at)
            {
                Stopped.Writer.TryWrite(true);
                GoOn.Reader.ReadAsync().AsTask().GetAwaiter().GetResult();
            }
            return seal(row);
        }
    }
}

public sealed class SqliteDataKeyRotationTests : DataKeyRotationTests
{
    private protected override Task<PostgresDatabase?> PostgresAsync() => Task.FromResult<PostgresDatabase?>(null);
}

public sealed class PostgresDataKeyRotationTests : DataKeyRotationTests
{
    private protected override async Task<PostgresDatabase?> PostgresAsync() => await PostgresServer.NewDatabaseAsync();
}
