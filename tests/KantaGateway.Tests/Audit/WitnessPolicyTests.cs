using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Monitoring;
using KantaGateway.Audit.Witnessing;
using KantaGateway.Simulators;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Audit;

/// <summary>Whose cosignatures make a checkpoint count.</summary>
public sealed class WitnessPolicyTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly StagedLog _log = new(10);
    private readonly SimulatedWitness[] _witnesses;

    public WitnessPolicyTests() => _witnesses = [.. Enumerable.Range(1, 4).Select(i => new SimulatedWitness($"w{i}", _folder.File($"w{i}"), _ => null))];

    public void Dispose()
    {
        foreach (var witness in _witnesses)
            witness.Dispose();
        _log.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("group g 2 a b c\nquorum g", "", false), InlineData("group g 2 a b c\nquorum g", "1", false), InlineData("group g 2 a b c\nquorum g", "13", true), InlineData("group g 2 a b c\nquorum g", "123", true)]
    [InlineData("group g all a b c\nquorum g", "13", false), InlineData("group g all a b c\nquorum g", "123", true), InlineData("group g any a b c\nquorum g", "3", true)]
    [InlineData("quorum b", "13", false), InlineData("quorum b", "2", true), InlineData("quorum none", "", true)]
    [InlineData("group g any a b\ngroup h all g c\nquorum h", "12", false), InlineData("group g any a b\ngroup h all g c\nquorum h", "23", true)]
    [InlineData("# two\n\n \tgroup\tg 2  a b c \nquorum g", "12", true)]
    // The fourth is none of the policy's.
    [InlineData("group g 2 a b c\nquorum g", "14", false)]
    public void A_quorum_is_what_the_file_says(string rules, string cosigners, bool met)
    {
        var policy = Read(Lines(rules));
        var note = _log.Note + string.Concat(cosigners.Select(c => _witnesses[c - '1'].Cosign(TextOf(_log.Note))));
        Assert.Equal(met, policy.IsMetBy(note));
        Assert.Equal(cosigners.Replace("4", "", StringComparison.Ordinal).Select(c => $"witness.example/w{c}"), policy.CosignersOf(note).Select(w => w.Key.Name));
    }

    [Fact]
    public void A_cosignature_of_another_checkpoint_or_time_counts_for_nothing()
    {
        using var other = new StagedLog(10);
        var policy = Read(Lines("quorum a"));
        Assert.False(policy.IsMetBy(_log.Note + _witnesses[0].Cosign(TextOf(other.Note))));
        var line = _witnesses[0].Cosign(TextOf(_log.Note));
        var bytes = Convert.FromBase64String(line.Trim().Split(' ')[2]);
        bytes[11] ^= 1;
        Assert.False(policy.IsMetBy($"{_log.Note}— witness.example/w1 {Convert.ToBase64String(bytes)}\n"));
        // A known witness's line that does not verify makes the note none.
        Assert.False(policy.IsMetBy($"{_log.Note}{line}— witness.example/w1 {Convert.ToBase64String(bytes)}\n"));
        Assert.True(policy.IsMetBy(_log.Note + line));
    }

    /// <summary>The log's own key signs notes, and a witness's signs cosignatures: neither is taken for the other.</summary>
    [Fact]
    public void A_key_of_one_kind_is_not_read_as_one_of_the_other()
    {
        Assert.False(WitnessVerifier.TryParse(_log.Verifier.ToString(), out _));
        Assert.False(NoteVerifier.TryParse(_witnesses[0].Verifier.ToString(), out _));
        Assert.True(WitnessVerifier.TryParse(_witnesses[0].Verifier.ToString(), out var read));
        Assert.Equal(_witnesses[0].Verifier.KeyId, read.KeyId);
    }

    /// <summary>The example of C2SP tlog-cosignature, whose key id is its first four bytes.</summary>
    [Fact]
    public void The_signed_message_is_that_of_the_specification() =>
        Assert.Equal("cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            Encoding.UTF8.GetString(WitnessVerifier.MessageOf(1679315147, "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")));

    [Theory]
    [InlineData("group g 2 a b c", "there is no quorum line"), InlineData("quorum a\nquorum b", "a second quorum line"), InlineData("quorum g\ngroup g any a", "a quorum that no line before defines")]
    [InlineData("group g 4 a b c\nquorum g", "all, any, or a number"), InlineData("group g 0 a\nquorum g", "all, any, or a number"), InlineData("group g any\nquorum g", "neither log")]
    [InlineData("group g any a\ngroup h any a\nquorum h", "a member of two groups"), InlineData("group g all a a\nquorum g", "a member of two groups"), InlineData("group a any b\nquorum a", "a name that is taken"), InlineData("group none any b\nquorum none", "a name that is taken")]
    [InlineData("group g any z\nquorum g", "a member that no line before defines"), InlineData("witness x nokey\nquorum a", "not a witness's key"), InlineData("log nokey\nquorum a", "not a log's key"), InlineData("nonsense\nquorum a", "neither log"), InlineData("quorum a\u0001", "a control character")]
    public void Rejects_what_is_no_policy(string rules, string why)
    {
        Assert.False(WitnessPolicy.TryParse(Encoding.UTF8.GetBytes(Lines(rules)), out _, out var problem));
        Assert.Contains(why, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Rejects_one_key_under_two_names()
    {
        Assert.False(WitnessPolicy.TryParse(Encoding.UTF8.GetBytes(Lines($"witness x {_witnesses[0].Verifier}\nquorum a")), out _, out var problem));
        Assert.Contains("stands there twice", problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_outsider_finds_a_checkpoint_without_its_quorum()
    {
        var policy = Read(Lines("group g 2 a b c\nquorum g"));
        using var kept = new MonitorFolder(_folder.File("state"), _log.Verifier);
        var monitor = new LogMonitor(_log.Verifier, kept, _log.ReadAsync, policy);
        _log.Cosignatures = _witnesses[1].Cosign(TextOf(_log.Note));
        var report = await monitor.CheckAsync();
        Assert.Equal(LogFaultKind.Unwitnessed, Assert.Single(report.Faults).Kind);
        Assert.Equal(["b"], report.Cosigners.Select(w => w.Name));
        _log.Cosignatures += _witnesses[2].Cosign(TextOf(_log.Note));
        Assert.Equal([], (await monitor.CheckAsync()).Faults);
    }

    private static WitnessPolicy Read(string file)
    {
        Assert.True(WitnessPolicy.TryParse(Encoding.UTF8.GetBytes(file), out var policy, out var problem), problem);
        return policy!;
    }

    private string Lines(string rules) => $"log {_log.Verifier} https://localhost/log\nwitness a {_witnesses[0].Verifier} https://localhost/a\nwitness b {_witnesses[1].Verifier}\nwitness c {_witnesses[2].Verifier}\n{rules}\n";

    private static string TextOf(string note) => note[..(note.IndexOf("\n\n", StringComparison.Ordinal) + 1)];
}
