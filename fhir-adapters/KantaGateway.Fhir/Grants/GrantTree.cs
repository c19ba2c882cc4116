using System.Buffers.Text;
using System.Security.Cryptography;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The Merkle tree over grants that are signed together (RFC 9162 §2.1, SHA-256): the gateway signs its root, and each grant comes with the way to it. Leaves and nodes are told apart by their
/// first byte, so that no node is taken for a grant, and the size is signed with the root, so that a way has one length.
/// </summary>
/// <remarks>The audit log has the same tree, in tiles; this project does not know it. What a way shows of other grants is hashes, of claims with a random id in them.</remarks>
sealed class GrantTree
{
    /// <summary>Most grants under one signature: a way of 8 hashes.</summary>
    public const int MostLeaves = 256;

    /// <summary>Bytes of the place of a leaf: its index (1) and the way to the root, from the leaf's sibling up (32 each).</summary>
    public const int LongestPlace = 1 + 8 * HashLength;

    public const int HashLength = SHA256.HashSizeInBytes;

    // From the leaves to the root. One that has no sibling goes up as it is, which makes the tree of §2.1.1.
    private readonly List<byte[][]> _levels = [];

    /// <param name="claims">Of each grant, 1 to <see cref="MostLeaves"/>.</param>
    public GrantTree(IReadOnlyList<byte[]> claims)
    {
        ArgumentOutOfRangeException.ThrowIfZero(claims.Count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(claims.Count, MostLeaves);
        var level = new byte[claims.Count][];
        for (var i = 0; i < level.Length; i++)
            HashLeaf(claims[i], level[i] = new byte[HashLength]);
        for (_levels.Add(level); level.Length > 1; _levels.Add(level))
        {
            var below = level;
            level = new byte[(below.Length + 1) / 2][];
            for (var i = 0; i < level.Length; i++)
                if (2 * i + 1 < below.Length)
                    HashNode(below[2 * i], below[2 * i + 1], level[i] = new byte[HashLength]);
                else
                    level[i] = below[2 * i];
        }
    }

    public ReadOnlySpan<byte> Root => _levels[^1][0];

    /// <summary>Where a grant is: its index and the way from it to the root.</summary>
    public byte[] PlaceOf(int index)
    {
        var place = new List<byte>(LongestPlace) { (byte)index };
        foreach (var level in _levels)
        {
            if ((index ^ 1) < level.Length)
                place.AddRange(level[index ^ 1]);
            index >>= 1;
        }
        return [.. place];
    }

    /// <summary>Whether a tree has a grant at a place.</summary>
    /// <param name="root">Signed.</param>
    /// <param name="size">Likewise.</param>
    /// <param name="place">As <see cref="PlaceOf"/> writes it.</param>
    /// <param name="claims">Of the grant.</param>
    public static bool Holds(ReadOnlySpan<byte> root, int size, ReadOnlySpan<byte> place, ReadOnlySpan<byte> claims)
    {
        if (place.IsEmpty || place[0] >= size)
            return false;
        var index = (int)place[0];
        var way = place[1..];
        Span<byte> hash = stackalloc byte[HashLength];
        HashLeaf(claims, hash);
        for (; size > 1; size = (size + 1) / 2, index >>= 1)
        {
            if ((index ^ 1) >= size)
                continue;
            if (way.Length < HashLength)
                return false;
            if ((index & 1) == 0)
                HashNode(hash, way[..HashLength], hash);
            else
                HashNode(way[..HashLength], hash, hash);
            way = way[HashLength..];
        }
        return way.IsEmpty && hash.SequenceEqual(root);
    }

    private static void HashLeaf(ReadOnlySpan<byte> claims, Span<byte> into)
    {
        // Claims are some 300 bytes; those that name many denials cost an array.
        var input = claims.Length < 2048 ? stackalloc byte[1 + claims.Length] : new byte[1 + claims.Length];
        input[0] = 0;
        claims.CopyTo(input[1..]);
        SHA256.HashData(input, into);
    }

    private static void HashNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> into)
    {
        Span<byte> input = stackalloc byte[1 + 2 * HashLength];
        input[0] = 1;
        left.CopyTo(input[1..]);
        right.CopyTo(input[(1 + HashLength)..]);
        SHA256.HashData(input, into);
    }
}

/// <summary>The root of a tree of grants, as a gateway has signed it.</summary>
/// <param name="Expires">With the last of its grants.</param>
sealed record SignedRoot(byte[] Hash, int Size, DateTimeOffset IssuedAt, DateTimeOffset Expires)
{
    /// <summary>Reads it from a token whose signature was checked; null: it holds none, or one that lives too long.</summary>
    public static SignedRoot? In(JsonWebToken jwt)
    {
        var hash = new byte[GrantTree.HashLength];
        return jwt.TryGetPayloadValue<string>(GrantFormat.Root, out var root) && Base64Url.IsValid(root, out var length) && length == hash.Length && Base64Url.TryDecodeFromChars(root, hash, out _)
            && jwt.TryGetPayloadValue<long>(GrantFormat.Size, out var size) && size is > 0 and <= GrantTree.MostLeaves
            && jwt.IssuedAt > DateTime.MinValue && jwt.ValidTo - jwt.IssuedAt <= Grant.MaxLifetime
            ? new(hash, (int)size, jwt.IssuedAt, jwt.ValidTo) : null;
    }
}
