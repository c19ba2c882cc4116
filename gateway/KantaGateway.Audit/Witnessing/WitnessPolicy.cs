using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace KantaGateway.Audit.Witnessing;

/// <summary>A witness of a policy.</summary>
/// <param name="Name">In the policy; the key has its own.</param>
/// <param name="Address">Its submission prefix (C2SP tlog-witness), for who asks it; null: not said.</param>
public sealed record Witness(string Name, WitnessVerifier Key, Uri? Address);

/// <summary>Whose cosignatures make a checkpoint count (C2SP tlog-policy). Immutable.</summary>
public sealed class WitnessPolicy
{
    // Each name a witness or a group stands for, and whether a set of witnesses fulfils it.
    private readonly Dictionary<string, Func<HashSet<string>, bool>> _names = new(StringComparer.Ordinal);
    private readonly List<Witness> _witnesses = [];
    private readonly List<(NoteVerifier Key, Uri? Address)> _logs = [];
    private readonly HashSet<string> _members = new(StringComparer.Ordinal);
    private Func<HashSet<string>, bool>? _quorum;

    private WitnessPolicy()
    {
    }

    public IReadOnlyList<Witness> Witnesses => _witnesses;

    /// <summary>The logs that it names; empty: which log is meant is known otherwise.</summary>
    public IReadOnlyList<(NoteVerifier Key, Uri? Address)> Logs => _logs;

    /// <summary>The quorum as it stands in the file, such as <c>group all 2 a b c</c>'s name.</summary>
    public string QuorumName { get; private set; } = "";

    /// <summary>Reads a policy file.</summary>
    /// <param name="problem">Line and what is wrong with it, where something is.</param>
    public static bool TryParse(ReadOnlySpan<byte> file, [NotNullWhen(true)] out WitnessPolicy? policy, [NotNullWhen(false)] out string? problem)
    {
        var read = new WitnessPolicy();
        (policy, problem) = (null, null);
        var number = 0;
        // Octets are opaque in names: each is one character here.
        foreach (var line in Encoding.Latin1.GetString(file).Split('\n'))
        {
            number++;
            if (line.Any(c => c < ' ' && c != '\t' || c == '\x7F'))
                problem = "a control character";
            else if (line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries) is [var keyword, .. var rest] && keyword[0] != '#')
                problem = read.Take(keyword, rest);
            if (problem is null)
                continue;
            problem = string.Create(CultureInfo.InvariantCulture, $"line {number}: {problem}");
            return false;
        }
        problem = read._quorum is null ? "there is no quorum line" : null;
        policy = problem is null ? read : null;
        return problem is null;
    }

    /// <summary>The witnesses that have cosigned a checkpoint. None for a note that is malformed, or on which a known witness's line does not verify.</summary>
    public IReadOnlyList<Witness> CosignersOf(string checkpoint) =>
        SignedNote.TrySplit(checkpoint, out var text, out var lines) && LinesIn(text, lines) is { } valid ? [.. valid.Keys] : [];

    /// <summary>Whether those who have cosigned a checkpoint are enough.</summary>
    public bool IsMetBy(string checkpoint) => IsMetBy(CosignersOf(checkpoint));

    internal bool IsMetBy(IEnumerable<Witness> cosigners) => _quorum!([.. cosigners.Select(static w => w.Name)]);

    /// <summary>Signature lines of known witnesses, one each, the last where one has several; null where one does not verify.</summary>
    internal Dictionary<Witness, string>? LinesIn(string text, IReadOnlyList<NoteSignature> lines)
    {
        var valid = new Dictionary<Witness, string>();
        foreach (var line in lines)
            if (_witnesses.Find(w => w.Key.IsNamedBy(line)) is { } witness)
            {
                if (!witness.Key.Verify(text, line))
                    return null;
                valid[witness] = line.Line;
            }
        return valid;
    }

    /// <returns>What is wrong; null: nothing.</returns>
    private string? Take(string keyword, string[] rest)
    {
        switch (keyword, rest)
        {
            case ("log", [var vkey, .. { Length: <= 1 } url]):
                if (!NoteVerifier.TryParse(Utf8(vkey), out var log) || !TryAddress(url, out var at))
                    return "not a log's key and address";
                if (_logs.Exists(known => known.Key.PublicKey.AsSpan().SequenceEqual(log.PublicKey)))
                    return "a log's key stands there twice";
                _logs.Add((log, at));
                return null;
            case ("witness", [var name, var vkey, .. { Length: <= 1 } url]):
                if (!WitnessVerifier.TryParse(Utf8(vkey), out var key) || !TryAddress(url, out var address))
                    return "not a witness's key and address";
                if (_witnesses.Exists(known => known.Key.PublicKey.AsSpan().SequenceEqual(key.PublicKey)))
                    return "a witness's key stands there twice";
                _witnesses.Add(new(name, key, address));
                return Define(name, cosigned => cosigned.Contains(name));
            case ("group", [var name, var least, .. { Length: > 0 } members]):
                var k = least switch { "all" => members.Length, "any" => 1, _ => int.TryParse(least, NumberStyles.None, CultureInfo.InvariantCulture, out var given) ? given : 0 };
                if (k < 1 || k > members.Length)
                    return "a group takes all, any, or a number of its members";
                if (members.Any(m => !_names.ContainsKey(m)))
                    return "a member that no line before defines";
                if (!members.All(_members.Add))
                    return "a member of two groups";
                var rules = members.Select(m => _names[m]).ToArray();
                return Define(name, cosigned => rules.Count(rule => rule(cosigned)) >= k);
            case ("quorum", [var name]):
                if (_quorum is not null)
                    return "a second quorum line";
                QuorumName = name;
                _quorum = name == "none" ? static _ => true : _names.GetValueOrDefault(name);
                return _quorum is null ? "a quorum that no line before defines" : null;
            default:
                return "neither log, witness, group nor quorum, or not as it is written";
        }
    }

    private string? Define(string name, Func<HashSet<string>, bool> rule) => name != "none" && _names.TryAdd(name, rule) ? null : "a name that is taken";

    private static bool TryAddress(string[] url, out Uri? address)
    {
        address = null;
        return url is not [var text] || Uri.TryCreate(Utf8(text), UriKind.Absolute, out address) && address.Scheme is "https" or "http" && address is { Query: "", Fragment: "", UserInfo: "" };
    }

    private static string Utf8(string octets) => Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(octets));
}
