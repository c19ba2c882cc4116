using System.Buffers.Binary;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The part of a wrapped data key that those may read who cannot open it: format (1), version of the wrapping key (4, big-endian). Key service and
/// repository agree on it, so that a rotation can be looked for in the store.
/// </summary>
public static class WrappedKey
{
    public const int HeaderLength = 5;

    /// <summary>Bytes: the header, a nonce (12), the sealed key (32), a tag (16).</summary>
    public const int Length = HeaderLength + 12 + 32 + 16;

    /// <summary>Bytes of one that has whose compartment it is behind it, sealed in the same form: by that the key service finds somebody again whom its own register lacks.</summary>
    public const int LengthWithPerson = 2 * Length;

    private const byte Format = 1;

    /// <summary>Version of the wrapping key; null where it is no wrapped key.</summary>
    public static uint? VersionOf(ReadOnlySpan<byte> wrapped) =>
        wrapped.Length is Length or LengthWithPerson && wrapped[0] == Format && BinaryPrimitives.ReadUInt32BigEndian(wrapped[1..]) is > 0 and var version ? version : null;

    /// <summary>What stands behind the key: who it is of, sealed; empty: nothing does.</summary>
    public static ReadOnlyMemory<byte> PersonOf(ReadOnlyMemory<byte> wrapped) => wrapped.Length == LengthWithPerson ? wrapped[Length..] : default;

    /// <summary>What the wrapped form of a key begins with.</summary>
    /// <param name="version">Of the wrapping key, 1 and up.</param>
    public static byte[] HeaderOf(uint version)
    {
        var header = new byte[HeaderLength];
        header[0] = Format;
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(1), version);
        return header;
    }
}
