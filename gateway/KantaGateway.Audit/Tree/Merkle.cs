using System.Security.Cryptography;
using NSec.Cryptography;

namespace KantaGateway.Audit.Tree;

/// <summary>The hashes of RFC 6962 §2.1: SHA-256, leaves and nodes told apart by their first byte. Pure.</summary>
public static class Merkle
{
    public const int HashLength = 32;

    // Leaves and nodes are 65 bytes: libsodium's is done before OpenSSL has found its algorithm.
    private static readonly Sha256 Sha256 = NSec.Cryptography.HashAlgorithm.Sha256;

    /// <summary>Hash of the tree without leaves.</summary>
    public static byte[] Empty => SHA256.HashData([]);

    /// <summary>SHA-256(0x00, data); data of at most 512 bytes.</summary>
    public static void HashLeaf(ReadOnlySpan<byte> data, Span<byte> destination)
    {
        Span<byte> input = stackalloc byte[1 + data.Length];
        input[0] = 0;
        data.CopyTo(input[1..]);
        Sha256.Hash(input, destination);
    }

    /// <summary>SHA-256(0x01, left, right).</summary>
    public static void HashNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> destination)
    {
        Span<byte> input = stackalloc byte[1 + 2 * HashLength];
        input[0] = 1;
        left.CopyTo(input[1..]);
        right.CopyTo(input[(1 + HashLength)..]);
        Sha256.Hash(input, destination);
    }

    public static byte[] HashLeaf(ReadOnlySpan<byte> data)
    {
        var hash = new byte[HashLength];
        HashLeaf(data, hash);
        return hash;
    }

    public static byte[] HashNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        var hash = new byte[HashLength];
        HashNode(left, right, hash);
        return hash;
    }
}
