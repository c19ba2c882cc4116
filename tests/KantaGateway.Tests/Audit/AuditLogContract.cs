using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Tests.Audit;

/// <summary>What a log does whatever it is kept in.</summary>
public abstract class AuditLogContract
{
    private const int Entries = 300;

    /// <summary>A new, empty one.</summary>
    private protected abstract Task<LogPlace> NewAsync();

    [Fact]
    public async Task A_log_goes_on_where_it_was_closed()
    {
        using var place = await NewAsync();
        for (var round = 0; round < 3; round++)
        {
            await using var log = place.Open();
            for (var i = 0; i < 150; i++)
                Assert.Equal(round * 150 + i, (await log.AppendAsync(LogPlace.Entry(i))).Index);
        }
        var verification = place.Verify();
        Assert.Empty(verification.Faults);
        Assert.Equal(450, verification.Entries);
        Assert.Equal(450, verification.Published!.Size);
    }

    [Fact]
    public async Task Many_appends_at_once_share_few_commits()
    {
        // The first commit is held until all others wait: they then go down together.
        using var place = await NewAsync();
        using var release = new ManualResetEventSlim();
        var first = true;
        await using var log = place.Open(step =>
        {
            if (step == DurableStep.BeforeInsert && first)
            {
                first = false;
                release.Wait();
            }
        });
        var before = log.Commits;
        var appends = Enumerable.Range(0, 1000).Select(i => log.AppendAsync(LogPlace.Entry(i)).AsTask()).ToList();
        release.Set();
        var receipts = await Task.WhenAll(appends);
        Assert.Equal(Enumerable.Range(0, 1000).Select(i => (long)i), receipts.Select(r => r.Index).Order());
        // One of what was there when the writer first looked, one of the rest, and at most one of a checkpoint.
        Assert.InRange(log.Commits - before, 1, 3);
    }

    [Fact]
    public async Task Several_entries_of_one_append_stand_next_to_each_other()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        var others = Enumerable.Range(0, 50).Select(i => log.AppendAsync(LogPlace.Entry(i, who: 2)).AsTask()).ToList();
        var receipts = await log.AppendAsync([LogPlace.Entry(1), LogPlace.Entry(2), LogPlace.Entry(3)]);
        await Task.WhenAll(others);
        Assert.Equal([receipts[0].Index, receipts[0].Index + 1, receipts[0].Index + 2], receipts.Select(r => r.Index));
        Assert.Equal(["1", "2", "3"], place.Stored(log));
        Assert.Empty(await log.AppendAsync([]));
    }

    [Fact]
    public async Task A_person_has_their_own_entries_newest_first_and_in_pages()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        for (var i = 0; i < 6; i++)
            await log.AppendAsync(LogPlace.Entry(i, who: (byte)(1 + i % 2)));
        await log.AppendAsync(new AuditEntry([], "{}"u8.ToArray()));
        var page = LogPlace.Entries(log, 1, 2);
        Assert.Equal([4L, 2L], page.Select(e => e.Index));
        Assert.Equal([0L], LogPlace.Entries(log, 1, 2, page[^1].Index).Select(e => e.Index));
        Assert.Empty(LogPlace.Entries(log, 9));
        Assert.Empty(await log.ForSubjectAsync([], 10));
    }

    [Fact]
    public async Task Own_visits_are_found_apart_from_what_others_did_and_among_it()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        for (var i = 0; i < 7; i++)
            await log.AppendAsync(LogPlace.Entry(i) with { IsOwn = i % 3 == 0 });
        await log.AppendAsync(LogPlace.Entry(7, who: 2) with { IsOwn = true });
        async Task<IEnumerable<long>> FoundAsync(bool withOwn, int limit, long before = long.MaxValue) => (await log.ForSubjectAsync(LogPlace.Subject(1), limit, before, withOwn)).Select(static e => e.Index);
        Assert.Equal([5L, 4L, 2L, 1L], await FoundAsync(withOwn: false, 10));
        Assert.Equal([5L, 4L], await FoundAsync(withOwn: false, 2));
        Assert.Equal([6L, 5L, 4L], await FoundAsync(withOwn: true, 3));
        Assert.Equal([3L, 2L, 1L, 0L], await FoundAsync(withOwn: true, 10, before: 4));
        // Each is as long: with the third there is more than two and a half of them.
        var one = (await log.ForSubjectAsync(LogPlace.Subject(1), 1))[0].Sealed.Length;
        Assert.Equal([6L, 5L, 4L], (await log.ForSubjectAsync(LogPlace.Subject(1), 10, mostBytes: one * 5 / 2)).Select(static e => e.Index));
        Assert.Equal([5L, 4L, 2L], (await log.ForSubjectAsync(LogPlace.Subject(1), 10, withOwn: false, mostBytes: one * 5 / 2)).Select(static e => e.Index));
        Assert.Equal([4L], (await log.ForSubjectAsync(LogPlace.Subject(1), 10, 5, withOwn: false, mostBytes: 0)).Select(static e => e.Index));
        await log.PublishAsync();
        Assert.NotNull(await log.ProveAboutAsync(3, LogPlace.Subject(1)));
        Assert.NotNull(await log.ProveAboutAsync(4, LogPlace.Subject(1)));
        Assert.Null(await log.ProveAboutAsync(7, LogPlace.Subject(1)));
    }

    [Fact]
    public async Task The_published_tiles_prove_every_published_entry()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 600).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        Assert.True(Checkpoint.TryOpen(log.ReadCheckpoint(), log.Verifier, out var checkpoint));
        Assert.Equal(600, checkpoint.Size);

        var tree = new TiledTree(600, path => LogPlace.Tile(log, path)!);
        Assert.Equal(checkpoint.Root, tree.Root());
        var bundle = LogPlace.Tile(log, new TilePath(TilePath.Entries, 2, 88));
        Assert.Equal(88 * 66, bundle.Length);
        var entry = LogPlace.Entries(log, 1, 1)[0];
        var leaf = bundle[(87 * 66 + 2)..];
        Assert.Equal(entry.Commitment, leaf[..32]);
        Assert.Equal(checkpoint.Root, TiledTree.RootFromInclusion(599, 600, Merkle.HashLeaf(leaf), tree.ProveInclusion(599)));

        Assert.Null(LogPlace.Tile(log, new TilePath(0, 2, 89)));
        Assert.Null(LogPlace.Tile(log, new TilePath(2, 0, 1)));
        Assert.Null(LogPlace.Tile(log, new TilePath(63, 0, 1)));
    }

    [Fact]
    public async Task A_cosigned_checkpoint_is_kept_until_a_larger_one_is_and_proofs_are_under_it()
    {
        using var place = await NewAsync();
        var notes = new List<string>();
        await using (var log = place.Open())
        {
            Assert.Null(await log.ReadCosignedCheckpointAsync());
            foreach (var by in (int[])[1, 299, 400])
            {
                await log.AppendAsync([.. Enumerable.Range(0, by).Select(i => LogPlace.Entry(i))]);
                await log.PublishAsync();
                notes.Add(log.ReadCheckpoint());
            }
            Assert.True(await log.KeepCosignedAsync(notes[1]));
            Assert.False(await log.KeepCosignedAsync(notes[0]));
            // One of the same size replaces it: what was there may not be of those who count.
            Assert.True(await log.KeepCosignedAsync(notes[1] + "— another AAAAAAAA\n"));
            Assert.Equal(notes[1] + "— another AAAAAAAA\n", await log.ReadCosignedCheckpointAsync());
            Assert.True(await log.KeepCosignedAsync(notes[1]));
            Assert.Equal(notes[1], await log.ReadCosignedCheckpointAsync());
            Assert.Equal(notes[1], (await log.ProveAsync(299, LogPlace.ReceiverOf(1)))!.Checkpoint);
            Assert.Equal(notes[2], (await log.ProveAsync(300, LogPlace.ReceiverOf(1)))!.Checkpoint);
            foreach (var index in (long[])[0, 255, 256, 299, 300, 699])
                Assert.True((await log.ProveAsync(index, LogPlace.ReceiverOf(1)))!.IsOf(log.Verifier));
            Assert.True(Checkpoint.TryOpen(notes[1], log.Verifier, out var earlier) && Checkpoint.TryOpen(notes[2], log.Verifier, out var later)
                && TiledTree.IsConsistent(300, earlier.Root, 700, later.Root, await log.ProveConsistencyAsync(300, 700)));
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await log.ProveConsistencyAsync(300, 701));
            // What the log has not published, or another has signed, it does not keep.
            await Assert.ThrowsAsync<ArgumentException>(async () => await log.KeepCosignedAsync(new Checkpoint(place.Verifier.Name, 701, Merkle.Empty).Sign(new NoteSigner(place.Verifier.Name, place.LogKey))));
            await Assert.ThrowsAsync<ArgumentException>(async () => await log.KeepCosignedAsync(new Checkpoint(place.Verifier.Name, 700, Merkle.Empty).Sign(new NoteSigner(place.Verifier.Name, new byte[32]))));
        }
        await using var again = place.Open();
        Assert.Equal(notes[1], await again.ReadCosignedCheckpointAsync());
        Assert.Empty(place.Verify().Faults);
    }

    [Fact]
    public async Task Public_tiles_hold_nothing_that_says_whom_or_what_an_entry_is_about()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([LogPlace.Entry(1), LogPlace.Entry(1)]);
        await log.PublishAsync();
        var bundle = LogPlace.Tile(log, new TilePath(TilePath.Entries, 0, 2))!;
        Assert.Equal(-1, bundle.AsSpan().IndexOf(LogPlace.Subject(1)));
        Assert.False(bundle.AsSpan(2, 64).SequenceEqual(bundle.AsSpan(68, 64)));
    }

    [Fact]
    public async Task What_is_looked_for_is_found_with_the_keys_of_its_seconds_and_proven_and_what_was_changed_is_said_to_be_unreadable()
    {
        using var place = await NewAsync();
        await using (var log = place.Open())
            await log.AppendAsync([.. Enumerable.Range(0, 700).Select(i => LogPlace.Entry(i, who: (byte)(1 + i % 3)))]);
        var now = DateTimeOffset.UtcNow;
        var (asked, foreign) = (0, RandomNumberGenerator.GetBytes(32));
        await using (var log = place.Open())
        {
            // What is newer than the last checkpoint is searched too.
            await log.AppendAsync(LogPlace.Entry(3, who: 9));
            var found = await log.SearchAsync(Search(now.AddMinutes(-1), now.AddMinutes(1)));
            Assert.Equal([3L, 700L], found.Found.Select(static one => one.Entry.Index));
            Assert.Equal([LogPlace.Subject(1), LogPlace.Subject(9)], found.Found.Select(static one => one.Entry.Subject));
            Assert.Equal((701L, 701L, 0L), (found.Size, found.Read, found.UnreadableCount));
            Assert.All(found.Found, one => Assert.True(found.Prove(one).IsOf(place.Verifier)));
            // A second has one key, and each log its own.
            Assert.InRange(asked, 2, 6);
            Assert.Equal((0, 0L), ((await log.SearchAsync(Search(now.AddDays(-2), now.AddDays(-1)))) is var none ? (none.Found.Count, none.Read) : default));
            await Assert.ThrowsAsync<IOException>(() => log.SearchAsync(Search(now.AddMinutes(-1), now.AddMinutes(1)) with { Keys = static (_, _) => throw new IOException("No keys.") }));
            var without = await log.SearchAsync(Search(now.AddMinutes(-1), now.AddMinutes(1)) with { Keys = static (encs, _) => Task.FromResult<IReadOnlyList<byte[]?>>(new byte[]?[encs.Count]) });
            Assert.Equal((0, 701L, 701), (without.Found.Count, without.UnreadableCount, without.Unreadable.Count));
        }
        // A time that somebody has moved by a second, and a key that no log has made.
        await place.RewriteAsync(rows => rows.Select(row => row.Index switch
        {
            8 => (8, row.Row with { Enc = foreign }),
            700 => (700, row.Row with { Time = row.Row.Time + 1000 }),
            _ => row,
        }));
        await using (var log = place.Open())
        {
            var found = await log.SearchAsync(Search(now.AddMinutes(-1), now.AddMinutes(1)));
            Assert.Equal([3L], found.Found.Select(static one => one.Entry.Index));
            Assert.Equal([8L, 700L], found.Unreadable);
        }
        await place.RewriteAsync(static rows => rows.Select(static row => row.Index != 3 ? row : (row.Index, row.Row with { Sealed = [.. row.Row.Sealed[..^1], (byte)~row.Row.Sealed[^1]] })));
        await using (var log = place.Open())
        {
            var found = await log.SearchAsync(Search(now.AddMinutes(-1), now.AddMinutes(1)));
            Assert.Empty(found.Found);
            Assert.Equal([3L, 8L, 700L], found.Unreadable);
        }
        // Other times hide nothing, be it of what is looked for or of the rows that the search begins with.
        await place.RewriteAsync(static rows => rows.Select(static row => row.Index is not (700 or 350 or 351 or 175) ? row : (row.Index, row.Row with { Time = row.Index == 175 ? row.Row.Time + 86_400_000 : 1 })));
        await using (var log = place.Open())
            Assert.Equal([3L, 8L, 175L, 350L, 351L, 700L], (await log.SearchAsync(Search(now.AddMinutes(-1), now.AddMinutes(1)))).Unreadable);

        AuditSearch Search(DateTimeOffset from, DateTimeOffset to) => new(from, to, (encs, _) =>
        {
            Interlocked.Add(ref asked, encs.Count);
            Assert.DoesNotContain(encs, enc => enc.AsSpan().SequenceEqual(foreign));
            return Task.FromResult<IReadOnlyList<byte[]?>>([.. encs.Select(enc => place.Reader.KeyOf(enc))]);
        }, static (record, _) => record.EndsWith("\"id\":\"3\"}"u8));
    }

    [Fact]
    public async Task A_cancelled_append_is_not_acknowledged_and_the_log_goes_on()
    {
        using var place = await NewAsync();
        using var inCommit = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        await using var log = place.Open(step =>
        {
            if (step != DurableStep.BeforeCommit)
                return;
            inCommit.Set();
            release.Wait();
        });
        using var cancel = new CancellationTokenSource();
        var append = log.AppendAsync(LogPlace.Entry(1), cancel.Token).AsTask();
        inCommit.Wait();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => append);
        release.Set();
        Assert.Equal(1, (await log.AppendAsync(LogPlace.Entry(2))).Index);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await log.AppendAsync(LogPlace.Entry(3), cancel.Token));
    }

    [Fact]
    public async Task Appends_beyond_what_may_wait_are_refused_at_once()
    {
        using var place = await NewAsync();
        using var inCommit = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        await using var log = AuditLog.Open(place.Options(step =>
        {
            if (step != DurableStep.BeforeCommit)
                return;
            inCommit.Set();
            release.Wait();
        }) with { MaxWaiting = 2 }, TimeProvider.System);
        var written = log.AppendAsync(LogPlace.Entry(1)).AsTask();
        inCommit.Wait();
        var waiting = log.AppendAsync([LogPlace.Entry(2), LogPlace.Entry(3)]).AsTask();
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(4)));
        release.Set();
        await Task.WhenAll(written, waiting);
    }

    [Fact]
    public async Task A_closed_log_refuses()
    {
        using var place = await NewAsync();
        var log = place.Open();
        await log.DisposeAsync();
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(1)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(256)]
    [InlineData(300)]
    public async Task Every_entry_has_a_proof_that_verifies_offline(int entries)
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        var receipts = await log.AppendAsync([.. Enumerable.Range(0, entries).Select(i => LogPlace.Entry(i))]);
        foreach (var index in (int[])[0, entries / 2, entries - 1])
        {
            var text = (await log.ProveAsync(index, LogPlace.ReceiverOf(1)))!.ToString();
            Assert.True(InclusionProof.TryParse(text, out var proof));
            Assert.Equal(text, proof.ToString());
            Assert.True(proof.IsOf(place.Verifier));
            Assert.Equal((index, receipts[index].EntryId), ((int)proof.Index, proof.EntryId));
            // The same leaf that anybody finds in the public tiles.
            var bundle = LogPlace.Tile(log, new TilePath(TilePath.Entries, index / 256, Math.Min(256, entries - index / 256 * 256)))!;
            Assert.Equal(bundle[(index % 256 * 66 + 2)..((index % 256 + 1) * 66)], proof.Leaf);
        }
    }

    [Fact]
    public async Task An_entry_newer_than_the_last_checkpoint_is_proven_by_a_new_one()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        await log.PublishAsync();
        var receipt = await log.AppendAsync(LogPlace.Entry(1));
        Assert.Equal(receipt.EntryId, (await log.ProveAsync(receipt.Index, LogPlace.ReceiverOf(1)))!.EntryId);
    }

    [Fact]
    public async Task Only_the_receiver_gets_a_proof()
    {
        using var place = await NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([LogPlace.Entry(0), LogPlace.Entry(1, who: 2), LogPlace.Entry(2) with { Receiver = null }]);
        Assert.NotNull(await log.ProveAsync(0, LogPlace.ReceiverOf(1)));
        Assert.NotNull(await log.ProveAsync(1, LogPlace.ReceiverOf(2)));
        Assert.Null(await log.ProveAsync(0, LogPlace.ReceiverOf(2)));
        Assert.Null(await log.ProveAsync(2, LogPlace.ReceiverOf(1)));
        Assert.Null(await log.ProveAsync(2, ""));
        Assert.Null(await log.ProveAsync(3, LogPlace.ReceiverOf(1)));
        Assert.Null(await log.ProveAsync(-1, LogPlace.ReceiverOf(1)));
    }

    [Theory]
    [InlineData(nameof(DurableStep.BeforeCheckpoint)), InlineData(nameof(DurableStep.BeforeCommit)), InlineData(nameof(DurableStep.AfterCheckpoint))]
    public async Task A_checkpoint_that_is_not_known_to_be_stored_is_not_shown_until_it_is(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var place = await NewAsync();
        var fail = false;
        await using var log = place.Open(now =>
        {
            if (fail && now == at)
                throw new IOException("The disk is gone.");
        });
        await log.AppendAsync(LogPlace.Entry(1));
        await log.PublishAsync();
        var earlier = log.ReadCheckpoint();
        await log.AppendAsync(LogPlace.Entry(2));
        fail = true;
        await Assert.ThrowsAsync<AuditUnavailableException>(log.PublishAsync);
        Assert.Equal(earlier, log.ReadCheckpoint());
        fail = false;
        await log.PublishAsync();
        Assert.NotEqual(earlier, log.ReadCheckpoint());
        Assert.Empty(log.Verify(earlier).Faults);
    }

    [Theory]
    [InlineData(nameof(DurableStep.BeforeInsert), false), InlineData(nameof(DurableStep.BeforeCommit), false), InlineData(nameof(DurableStep.AfterCommit), true)]
    public async Task A_write_that_fails_is_not_acknowledged_and_the_log_recovers_by_itself(string step, bool stored)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var place = await NewAsync();
        var fail = false;
        await using var log = place.Open(now =>
        {
            // A checkpoint that is due rides along and gives the step its own name.
            var of = now switch { DurableStep.BeforeCheckpoint => DurableStep.BeforeInsert, DurableStep.AfterCheckpoint => DurableStep.AfterCommit, _ => now };
            if (fail && of == at)
                throw new IOException("The disk is gone.");
        });
        await log.AppendAsync(LogPlace.Entry(1));
        fail = true;
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync([LogPlace.Entry(2), LogPlace.Entry(3)]));
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(4)));
        fail = false;
        // Whether the lost reply's entries are there is not known to the callers, but it is all of them or none.
        Assert.Equal(stored ? 4 : 1, (await log.AppendAsync(LogPlace.Entry(5))).Index);
        Assert.Equal(stored ? ["1", "2", "3", "4", "5"] : ["1", "5"], place.Stored(log));
        await log.PublishAsync();
        Assert.Empty(log.Verify().Faults);
    }

    public static TheoryData<string, string> Changes => new()
    {
        { "sealed", "entry 7: its content" },
        { "time", "entry 7: its content" },
        { "another tag", "entry 7: its content" },
        { "no tag", "entry 7: its content" },
        { "enc", "entry 7: its content" },
        { "another receiver", "entry 7: its content" },
        { "no receiver", "entry 7: its content" },
        { "receiver taken for ciphertext", "entry 7: its content" },
        { "commitment", "fork: the stored checkpoint" },
        { "dropped", "entries 7 to 7 are missing" },
        { "first dropped", "entries 0 to 0 are missing" },
        { "end dropped", "the stored checkpoint has 300 entries, the store 290" },
        { "exchanged", "fork: the stored checkpoint" },
        { "inserted", "fork: the stored checkpoint" },
        { "twice", "entry 7 is there a second time" },
    };

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task Whatever_is_done_to_the_rows_is_found(string change, string fault)
    {
        using var place = await WrittenAsync();
        Assert.Empty(place.Verify().Faults);
        await place.RewriteAsync(rows => rows);
        Assert.Empty(place.Verify().Faults);
        await place.RewriteAsync(rows =>
        {
            var seventh = rows[7].Row;
            (long, SealedRow) As(SealedRow row) => (7, row);
            switch (change)
            {
                case "sealed": rows[7] = As(seventh with { Sealed = new byte[seventh.Sealed.Length] }); break;
                case "time": rows[7] = As(seventh with { Time = seventh.Time + 1 }); break;
                case "another tag": rows[7] = As(seventh with { Tag = new byte[16] }); break;
                case "no tag": rows[7] = As(seventh with { Tag = null }); break;
                case "enc": rows[7] = As(seventh with { Enc = new byte[32] }); break;
                case "another receiver": rows[7] = As(seventh with { Receiver = new byte[16] }); break;
                case "no receiver": rows[7] = As(seventh with { Receiver = null }); break;
                case "receiver taken for ciphertext": rows[7] = As(seventh with { Receiver = null, Sealed = [.. seventh.Receiver!, .. seventh.Sealed] }); break;
                case "commitment": rows[7] = As(seventh with { Leaf = [.. new byte[32], .. seventh.Leaf[32..]] }); break;
                case "dropped": rows.RemoveAt(7); break;
                case "first dropped": rows.RemoveAt(0); break;
                case "end dropped": rows.RemoveRange(290, 10); break;
                case "exchanged": (rows[7], rows[8]) = ((7, rows[8].Row), (8, seventh)); break;
                case "inserted": return [.. rows[..8], (8, rows[3].Row), .. rows[8..].Select(r => (r.Index + 1, r.Row))];
                case "twice": rows.Insert(8, rows[7]); break;
                default: throw new ArgumentOutOfRangeException(nameof(change));
            }
            return rows;
        });
        Assert.Contains(place.Verify().Faults, f => f.StartsWith(fault, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_log_rolled_back_to_an_older_state_is_found_against_a_checkpoint_kept_elsewhere()
    {
        using var place = await WrittenAsync();
        using var older = await place.CopyAtRestAsync();
        string kept;
        await using (var log = place.Open())
        {
            await log.AppendAsync(LogPlace.Entry(1000));
            await log.PublishAsync();
            kept = log.ReadCheckpoint();
        }
        Assert.Empty(place.Verify(kept).Faults);
        Assert.Empty(older.Verify().Faults);
        Assert.Contains(older.Verify(kept).Faults, f => f.StartsWith("rolled back", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_fork_signed_with_the_true_key_is_found_against_a_checkpoint_kept_elsewhere()
    {
        using var place = await WrittenAsync();
        using var fork = await place.CopyAtRestAsync();
        string kept;
        await using (var log = place.Open())
        {
            await log.AppendAsync(LogPlace.Entry(1000));
            await log.PublishAsync();
            kept = log.ReadCheckpoint();
        }
        await using (var log = fork.Open())
            await log.AppendAsync([LogPlace.Entry(2000), LogPlace.Entry(2001)]);
        Assert.Empty(fork.Verify().Faults);
        Assert.Contains(fork.Verify(kept).Faults, f => f.StartsWith("fork: the earlier checkpoint", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_foreign_checkpoint_is_no_evidence()
    {
        using var place = await WrittenAsync();
        using var foreign = await NewAsync();
        await using var log = foreign.Open();
        Assert.Contains(place.Verify(log.ReadCheckpoint()).Faults, f => f.Contains("not signed by this log"));
    }

    private async Task<LogPlace> WrittenAsync()
    {
        var place = await NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([.. Enumerable.Range(0, Entries).Select(i => LogPlace.Entry(i))]);
        return place;
    }
}

public sealed class FileAuditLogTests : AuditLogContract
{
    private protected override Task<LogPlace> NewAsync() => Task.FromResult<LogPlace>(new LogFolder());
}

public sealed class PostgresAuditLogTests : AuditLogContract
{
    private protected override async Task<LogPlace> NewAsync() => await LogDatabase.NewAsync();
}
