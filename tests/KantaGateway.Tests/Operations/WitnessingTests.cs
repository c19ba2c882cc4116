using System.Globalization;
using System.Net;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Audit.Witnessing;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Operations.Witnesses;
using KantaGateway.Simulators;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Operations;

/// <summary>Others vouch for the audit log's checkpoints, over the protocol of C2SP tlog-witness, and a log that was put back or rewritten finds nobody who does.</summary>
public sealed class WitnessingTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly LogFolder _place = new();
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly List<IDisposable> _opened = [];
    private SimulatedWitness[] _witnesses = null!;
    private WebApplication _server = null!;
    private string _logOrigin = "";
    private NoteVerifier? _known;

    public async Task InitializeAsync()
    {
        (_known, _logOrigin) = (_place.Verifier, _place.Verifier.Name);
        _witnesses = [.. Enumerable.Range(1, 3).Select(i => new SimulatedWitness($"w{i}", _folder.File($"witnesses/w{i}"), origin => origin == _logOrigin ? _known : null))];
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _server = builder.Build();
        foreach (var witness in _witnesses)
            witness.Map(_server);
        await _server.StartAsync();
        await File.WriteAllTextAsync(_folder.File("policy"), string.Concat(_witnesses.Select(w => $"witness {w.Name} {w.Verifier} {_server.Urls.Single()}{w.Address}\n")) + "group g 2 w1 w2 w3\nquorum g\n");
    }

    public async Task DisposeAsync()
    {
        foreach (var opened in Enumerable.Reverse(_opened))
            opened.Dispose();
        await _server.DisposeAsync();
        foreach (var witness in _witnesses)
            witness.Dispose();
        _place.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_published_checkpoint_is_cosigned_by_all_and_kept_and_proofs_are_under_it()
    {
        string? kept;
        await using (var log = _place.Open())
        {
            var witnessing = Witnessing(log);
            Assert.Null(await witnessing.CosignedAsync());
            foreach (var by in (int[])[3, 1, 300, 700])
            {
                await log.AppendAsync([.. Enumerable.Range(0, by).Select(i => LogPlace.Entry(i))]);
                await log.PublishAsync();
                Assert.True(await witnessing.AskAsync(default));
            }
            // Nothing new: nobody is asked.
            var asked = _witnesses.Sum(w => w.Asked);
            Assert.True(await witnessing.AskAsync(default));
            Assert.Equal(asked, _witnesses.Sum(w => w.Asked));
            kept = await witnessing.CosignedAsync();
            Assert.Equal(["w1", "w2", "w3"], witnessing.Policy.CosignersOf(kept!).Select(w => w.Name).Order());
            Assert.True(Checkpoint.TryOpen(kept!, log.Verifier, out var cosigned));
            Assert.Equal(1004, cosigned.Size);
            // One that is not cosigned yet does not stand in the way.
            await log.AppendAsync(LogPlace.Entry(1));
            await log.PublishAsync();
            var proof = (await log.ProveAsync(700, LogPlace.ReceiverOf(1)))!;
            Assert.True(proof.IsOf(log.Verifier));
            Assert.Equal(kept, proof.Checkpoint);
            var newer = (await log.ProveAsync(1004, LogPlace.ReceiverOf(1)))!;
            Assert.True(newer.IsOf(log.Verifier));
            Assert.False(witnessing.Policy.IsMetBy(newer.Checkpoint));
        }
        await using var again = _place.Open();
        Assert.Equal(kept, await Witnessing(again).CosignedAsync());
    }

    [Fact]
    public async Task Two_of_three_are_enough_one_is_not_and_for_long_it_is_a_case()
    {
        await using var log = _place.Open();
        using var cases = Cases(log);
        var witnessing = Witnessing(log, cases);
        _witnesses[1].IsSilent = true;
        await PublishAsync(log);
        Assert.True(await witnessing.AskAsync(default));
        var before = await witnessing.CosignedAsync();
        Assert.Equal(["w1", "w3"], witnessing.Policy.CosignersOf(before!).Select(w => w.Name).Order());

        _witnesses[2].IsSilent = true;
        await PublishAsync(log);
        Assert.False(await witnessing.AskAsync(default));
        Assert.Equal(before, await witnessing.CosignedAsync());
        Assert.Empty(cases.All);
        _time.Advance(TimeSpan.FromSeconds(301));
        Assert.False(await witnessing.AskAsync(default));
        Assert.False(await witnessing.AskAsync(default));
        Assert.Equal(BreachKind.Unwitnessed, Assert.Single(cases.All).Kind);

        // They are back, each at another size than the others.
        _witnesses[1].IsSilent = _witnesses[2].IsSilent = false;
        Assert.True(await witnessing.AskAsync(default));
        Assert.Equal(3, witnessing.Policy.CosignersOf((await witnessing.CosignedAsync())!).Count);
        Assert.Single(cases.All);
    }

    [Fact]
    public async Task A_gateway_that_knows_nothing_of_the_witnesses_sizes_learns_them()
    {
        await using var log = _place.Open();
        using var cases = Cases(log);
        await PublishAsync(log);
        await Witnessing(log, cases).AskAsync(default);
        for (var i = 0; i < 3; i++)
        {
            _witnesses[i].IsSilent = true;
            await PublishAsync(log);
            Assert.True(await Witnessing(log, cases).AskAsync(default));
            _witnesses[i].IsSilent = false;
        }
        await PublishAsync(log);
        var last = Witnessing(log, cases);
        Assert.True(await last.AskAsync(default));
        Assert.Equal(3, last.Policy.CosignersOf((await last.CosignedAsync())!).Count);
        Assert.Empty(cases.All);
    }

    [Fact]
    public async Task A_log_that_was_put_back_finds_no_witness_and_opens_a_case()
    {
        LogFolder older;
        await using (var log = _place.Open())
        {
            await PublishAsync(log);
            older = _place.Copy();
            await PublishAsync(log, 5);
            Assert.True(await Witnessing(log).AskAsync(default));
        }
        _opened.Add(older);
        await using var back = older.Open();
        using var cases = Cases(back);
        var witnessing = Witnessing(back, cases);
        Assert.False(await witnessing.AskAsync(default));
        Assert.Equal(BreachKind.LogForked, Assert.Single(cases.All).Kind);
        Assert.Contains("has 1 entries, and the witness witness.example/w", cases.All[0].What, StringComparison.Ordinal);
        // It grows past where it was: it is another history all the same, and one case.
        await PublishAsync(back, 20);
        Assert.False(await witnessing.AskAsync(default));
        Assert.False(await Witnessing(back, cases).AskAsync(default));
        Assert.Single(cases.All);
        Assert.Null(await witnessing.CosignedAsync());
        Assert.All(_witnesses, w => Assert.Equal(6, w.SizeOf(_logOrigin)));
    }

    [Fact]
    public async Task A_log_that_was_rewritten_with_its_key_finds_no_witness_and_opens_a_case()
    {
        await using (var log = _place.Open())
        {
            await PublishAsync(log, 5);
            Assert.True(await Witnessing(log).AskAsync(default));
        }
        using var thief = new LogFolder(_place.LogKey, _place.Reader);
        await using var rewritten = thief.Open();
        await PublishAsync(rewritten, 9);
        using var cases = Cases(rewritten);
        Assert.False(await Witnessing(rewritten, cases).AskAsync(default));
        Assert.Equal(BreachKind.LogForked, Assert.Single(cases.All).Kind);
        Assert.Contains("9 entries do not go on from the 5", cases.All[0].What, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_log_with_another_root_of_the_size_that_was_cosigned_opens_a_case_by_the_witnesses_and_by_what_is_kept()
    {
        string kept;
        await using (var log = _place.Open())
        {
            await PublishAsync(log, 5);
            var witnessing = Witnessing(log);
            Assert.True(await witnessing.AskAsync(default));
            kept = (await witnessing.CosignedAsync())!;
        }
        using var thief = new LogFolder(_place.LogKey, _place.Reader);
        await using var rewritten = thief.Open();
        await PublishAsync(rewritten, 5);
        using var cases = Cases(rewritten);
        Assert.False(await Witnessing(rewritten, cases).AskAsync(default));
        Assert.Equal(BreachKind.LogForked, Assert.Single(cases.All).Kind);
        Assert.Contains("says that it has cosigned another root of the audit log's 5 entries", cases.All[0].What, StringComparison.Ordinal);

        // The log's own key has signed what is kept, and a quorum was there: no witness need be asked.
        using var another = new LogFolder(_place.LogKey, _place.Reader);
        await using var beside = another.Open();
        await PublishAsync(beside, 5);
        Assert.True(await beside.KeepCosignedAsync(kept));
        using var others = new BreachCases(Options with { Breach = new() { CaseFolder = _folder.File("others") } }, beside, _time);
        var asked = _witnesses.Sum(w => w.Asked);
        Assert.False(await Witnessing(beside, others).AskAsync(default));
        Assert.Equal(BreachKind.LogForked, Assert.Single(others.All).Kind);
        Assert.Equal(asked, _witnesses.Sum(w => w.Asked));
    }

    [Fact]
    public async Task Whoever_waits_for_one_entry_waits_for_no_round_of_their_own_nor_for_a_witness_beyond_the_quorum()
    {
        await using var log = _place.Open();
        await PublishAsync(log, 5);
        var witnessing = Witnessing(log);
        var release = new TaskCompletionSource();
        _witnesses[2].Answering = release.Task;
        var asking = Enumerable.Range(1, 5).Select(size => witnessing.AskAsync(size, default)).ToArray();
        // The quorum is there, and the time that the third has beside it goes by.
        for (var all = Task.WhenAll(asking); !all.IsCompleted; await Task.WhenAny(all, Task.Delay(20)))
            _time.Advance(TimeSpan.FromMilliseconds(50));
        Assert.All(asking, static one => Assert.True(one.Result));
        Assert.Equal(["w1", "w2"], witnessing.Policy.CosignersOf((await witnessing.CosignedAsync())!).Select(w => w.Name).Order());
        Assert.Equal((1, 1), (_witnesses[0].Asked, _witnesses[1].Asked));
        // Another is published: who is covered already asks nobody.
        await PublishAsync(log);
        Assert.True(await witnessing.AskAsync(5, default));
        Assert.Equal((1, 1), (_witnesses[0].Asked, _witnesses[1].Asked));
        release.SetResult();
        Assert.True(await witnessing.AskAsync(default));
    }

    [Fact]
    public void A_policy_by_which_nobody_need_vouch_is_refused()
    {
        File.WriteAllText(_folder.File("none"), "quorum none\n");
        Assert.Throws<InvalidDataException>(() => KantaGateway.Gateway.Operations.Witnesses.Witnessing.PolicyIn(_folder.File("none")));
    }

    [Fact]
    public async Task Witnesses_that_do_not_know_the_log_are_no_case()
    {
        await using var log = _place.Open();
        using var cases = Cases(log);
        await PublishAsync(log);
        _known = null;
        Assert.False(await Witnessing(log, cases).AskAsync(default));
        _known = new NoteSigner(_logOrigin, new byte[32]).Verifier;
        Assert.False(await Witnessing(log, cases).AskAsync(default));
        Assert.Empty(cases.All);
    }

    /// <summary>Any gateway asks, whichever has published.</summary>
    [Fact]
    public async Task Gateways_that_share_a_log_ask_at_once_and_what_is_shown_never_gets_smaller()
    {
        const int Gateways = 3, Rounds = 15;
        using var place = await LogDatabase.NewAsync();
        (_known, _logOrigin) = (place.Verifier, place.Verifier.Name);
        var logs = Enumerable.Range(0, Gateways).Select(_ => place.Open()).ToArray();
        using var cases = Cases(logs[0]);
        var askers = logs.Select(log => Witnessing(log, cases)).ToArray();
        await Task.WhenAll(Enumerable.Range(0, Gateways).Select(async one =>
        {
            for (var (round, last) = (0, 0L); round < Rounds; round++)
            {
                await logs[one].AppendAsync(LogPlace.Entry(round));
                await logs[one].PublishAsync();
                await askers[one].AskAsync(default);
                var shown = await askers[(one + 1) % Gateways].CosignedAsync() is { } note ? long.Parse(note.Split('\n')[1], CultureInfo.InvariantCulture) : 0;
                Assert.True(shown >= last, $"{shown} after {last}");
                last = shown;
            }
        }));
        Assert.True(await askers[1].AskAsync(default));
        foreach (var asker in askers)
            Assert.Equal($"{Gateways * Rounds}", (await asker.CosignedAsync())!.Split('\n')[1]);
        Assert.Empty(cases.All);
        foreach (var log in logs)
            await log.DisposeAsync();
    }

    /// <summary>The witness is held to its specification too: what it lets pass would prove nothing.</summary>
    [Fact]
    public async Task The_simulated_witness_keeps_to_the_protocol()
    {
        await using var log = _place.Open();
        await PublishAsync(log, 5);
        var five = log.ReadCheckpoint();
        await PublishAsync(log, 5);
        var ten = log.ReadCheckpoint();
        var proof = string.Concat((await log.ProveConsistencyAsync(5, 10)).Select(hash => Convert.ToBase64String(hash) + "\n"));
        var empty = new Checkpoint(_logOrigin, 0, Merkle.HashLeaf([1])).Sign(new NoteSigner(_logOrigin, _place.LogKey));
        var fork = new Checkpoint(_logOrigin, 5, Merkle.HashLeaf([1])).Sign(new NoteSigner(_logOrigin, _place.LogKey));
        using var http = new HttpClient();
        foreach (var (body, status) in new (string, int)[]
        {
            ("", 400), ("old 0\n", 400), ($"old 00\n\n{five}", 400), ($"old 6\n\n{five}", 400), ($"old x\n\n{five}", 400), ($"old 0\nAAAA\n\n{five}", 400),
            ($"old 0\n\n{five.Replace(_logOrigin, "elsewhere", StringComparison.Ordinal)}", 404), ($"old 0\n\n{five.Replace("\n5\n", "\n4\n", StringComparison.Ordinal)}", 403),
            ($"old 3\n\n{five}", 409), ($"old 0\n{Convert.ToBase64String(new byte[32])}\n\n{five}", 422), ($"old 0\n\n{empty}", 422),
            ($"old 0\n\n{five}", 200), ($"old 0\n\n{five}", 409), ($"old 5\n\n{five}", 200), ($"old 5\n\n{fork}", 409), ($"old 5\n\n{ten}", 422), ($"old 5\n{proof}\n{ten}", 200), ($"old 5\n\n{five}", 409),
        })
        {
            using var content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            using var answer = await http.PostAsync($"{_server.Urls.Single()}{_witnesses[0].Address}/add-checkpoint", content);
            Assert.Equal((HttpStatusCode)status, answer.StatusCode);
        }
        Assert.Equal(10, _witnesses[0].SizeOf(_logOrigin));
        var shown = await http.GetStringAsync($"{_server.Urls.Single()}{_witnesses[0].Address}/{Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(_logOrigin)))}/checkpoint");
        Assert.True(WitnessPolicy.TryParse(await File.ReadAllBytesAsync(_folder.File("policy")), out var policy, out _));
        Assert.Equal(["w1"], policy.CosignersOf(shown).Select(w => w.Name).Order());
    }

    private static async Task PublishAsync(AuditLog log, int entries = 1)
    {
        await log.AppendAsync([.. Enumerable.Range(0, entries).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
    }

    private Witnessing Witnessing(AuditLog log, BreachCases? cases = null)
    {
        var witnessing = new Witnessing(Options, log, _time, NullLogger<Witnessing>.Instance, cases);
        _opened.Add(witnessing);
        return witnessing;
    }

    private BreachCases Cases(AuditLog log) => new(Options, log, _time);

    /// <summary>Of what is not asked about here, nothing.</summary>
    private GatewayOptions Options => new()
    {
        PublicAddress = "https://localhost",
        Port = 1,
        TlsCertificateFile = "",
        TlsKeyFile = "",
        ClientAuthorityFile = "",
        Repository = "",
        Keys = "",
        GrantKeyFile = "",
        IdentifierKeyFile = "",
        AuditFolder = "",
        AuditOrigin = _logOrigin,
        CreateStores = true,
        Identification = null!,
        Breach = new() { CaseFolder = _folder.File("cases") },
        Witnesses = new() { PolicyFile = _folder.File("policy") },
    };
}
