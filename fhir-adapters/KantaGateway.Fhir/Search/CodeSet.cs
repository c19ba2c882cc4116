using System.Buffers;
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace KantaGateway.Fhir.Search;

/// <summary>Codes with their systems, to be looked up as they lie in index entries. Immutable; thread-safe.</summary>
sealed class CodeSet
{
    private readonly FrozenSet<byte[]>.AlternateLookup<ReadOnlySpan<byte>> _tokens, _codes;

    public CodeSet(IEnumerable<(string System, string Code)> codes)
    {
        var tokens = new HashSet<byte[]>(Payloads.Instance);
        var bare = new HashSet<byte[]>(Payloads.Instance);
        var buffer = new ArrayBufferWriter<byte>(64);
        foreach (var (system, code) in codes)
        {
            buffer.ResetWrittenCount();
            buffer.WriteText(system);
            Encoding.UTF8.GetBytes(code, buffer);
            tokens.Add(buffer.WrittenSpan.ToArray());
            bare.Add(Encoding.UTF8.GetBytes(code));
        }
        Count = tokens.Count;
        _tokens = tokens.ToFrozenSet(Payloads.Instance).GetAlternateLookup<ReadOnlySpan<byte>>();
        _codes = bare.ToFrozenSet(Payloads.Instance).GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    public int Count { get; }

    /// <summary>Whether a stored token is one of them. One look-up, without allocation.</summary>
    /// <param name="payload">As <see cref="ValueKind"/> has it.</param>
    public bool Contains(ValueKind kind, ReadOnlySpan<byte> payload) => kind switch
    {
        ValueKind.Token => _tokens.Contains(payload),
        // A code whose element implies a system that is not written with it is known by the code alone.
        ValueKind.ImpliedToken => payload[0] == 0 ? _codes.Contains(payload[1..]) : _tokens.Contains(payload),
        _ => false,
    };

    private sealed class Payloads : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public static readonly Payloads Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode([DisallowNull] byte[] obj) => GetHashCode(obj.AsSpan());

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = new HashCode();
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}

/// <summary><c>:in</c>, <c>:above</c> and <c>:below</c> on a token: one of a set of codes.</summary>
sealed class CodeSetTest(CodeSet codes) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => codes.Contains(of, payload);
}
