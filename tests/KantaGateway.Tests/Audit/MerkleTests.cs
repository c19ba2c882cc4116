using System.Text;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Tests.Audit;

public class MerkleTests
{
    // The leaves and roots that the first Certificate Transparency implementation published for RFC 6962.
    private static readonly string[] Leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

    private static readonly string[] Roots =
    [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    [Fact]
    public void Roots_are_those_that_certificate_transparency_published()
    {
        var edge = new TreeEdge();
        for (var i = 0; i < Leaves.Length; i++)
        {
            edge.Append(Merkle.HashLeaf(Convert.FromHexString(Leaves[i])), []);
            Assert.Equal(Roots[i], Convert.ToHexStringLower(edge.Root()));
        }
        Assert.Equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Convert.ToHexStringLower(new TreeEdge().Root()));
    }

    [Theory]
    [InlineData(1), InlineData(2), InlineData(255), InlineData(256), InlineData(257), InlineData(511), InlineData(70_000)]
    public void A_tree_read_through_its_tiles_has_the_root_of_the_definition(int size)
    {
        var (edge, tiles, hashes) = Grow(size);
        Assert.Equal(Definition(hashes), edge.Root());
        Assert.Equal(Definition(hashes), new TiledTree(size, tiles.Read).Root());
    }

    [Fact]
    public void A_tree_of_seventy_thousand_has_the_tiles_that_the_specification_counts()
    {
        // C2SP tlog-tiles: 273 full and one partial (112) at level 0, one full and one partial (17) at 1, one partial (1) at 2.
        var (_, tiles, _) = Grow(70_000);
        Assert.Equal(274, tiles.Of(0).Count);
        Assert.Equal(112, tiles.Of(0)[273].Length / 32);
        Assert.Equal([256, 17], tiles.Of(1).Values.Select(t => t.Length / 32));
        Assert.Equal([1], tiles.Of(2).Values.Select(t => t.Length / 32));
    }

    [Theory]
    [InlineData(0), InlineData(1), InlineData(255), InlineData(256), InlineData(300), InlineData(65_535), InlineData(65_536), InlineData(66_049)]
    public void An_edge_restored_from_partial_tiles_goes_on_as_if_it_had_never_stopped(int size)
    {
        var (edge, tiles, _) = Grow(size);
        var restored = TreeEdge.Restore(size, tiles.Read);
        List<TileChange> expected = [], actual = [];
        for (var i = 0; i < 600; i++)
        {
            Assert.Equal(edge.Root(), restored.Root());
            var leaf = Merkle.HashLeaf(Encoding.ASCII.GetBytes($"more {i}"));
            edge.Append(leaf, expected);
            restored.Append(leaf, actual);
        }
        Assert.Equal(expected.Select(t => (t.Level, t.Index, Convert.ToHexString(t.Hashes))), actual.Select(t => (t.Level, t.Index, Convert.ToHexString(t.Hashes))));
    }

    [Fact]
    public void Every_leaf_is_proven_included_and_no_other_leaf_is()
    {
        foreach (var size in (int[])[1, 2, 3, 7, 256, 259, 600])
        {
            var (edge, tiles, hashes) = Grow(size);
            var tree = new TiledTree(size, tiles.Read);
            for (var i = 0; i < size; i++)
            {
                var proof = tree.ProveInclusion(i);
                Assert.Equal(edge.Root(), TiledTree.RootFromInclusion(i, size, hashes[i], proof));
                Assert.NotEqual(edge.Root(), TiledTree.RootFromInclusion(i, size, hashes[(i + 1) % size == i ? 0 : (i + 1) % size].Select(b => (byte)(b ^ 1)).ToArray(), proof));
                Assert.Null(TiledTree.RootFromInclusion(i, size, hashes[i], [.. proof, new byte[32]]));
            }
        }
    }

    [Fact]
    public void What_is_above_a_full_tile_is_the_same_for_each_of_its_leaves_and_takes_none_of_the_tiles_below()
    {
        foreach (var size in (int[])[256, 259, 600, 1_024, 70_000])
        {
            var (_, tiles, _) = Grow(size);
            var whole = new TiledTree(size, tiles.Read);
            var above = new TiledTree(size, tile => tile.Level > 0 || tile.Width < TilePath.FullWidth ? tiles.Read(tile) : throw new InvalidOperationException($"{tile} is asked for."));
            for (var tile = 0; tile < size / TilePath.FullWidth; tile++)
                Assert.Equal(whole.ProveInclusion(tile * TilePath.FullWidth + tile % TilePath.FullWidth).Skip(8), above.ProveTile(tile));
        }
    }

    [Fact]
    public void A_tree_is_proven_to_continue_each_earlier_one_and_no_other()
    {
        foreach (var size in (int[])[1, 2, 3, 7, 8, 259, 300])
        {
            var (_, tiles, hashes) = Grow(size);
            var root = Definition(hashes);
            for (var earlier = 1; earlier <= size; earlier++)
            {
                var proof = new TiledTree(size, tiles.Read).ProveConsistency(earlier);
                var earlierRoot = Definition(hashes.AsSpan(0, earlier));
                Assert.True(TiledTree.IsConsistent(earlier, earlierRoot, size, root, proof), $"{earlier} of {size}");
                Assert.False(TiledTree.IsConsistent(earlier, [.. earlierRoot[..31], (byte)(earlierRoot[31] ^ 1)], size, root, proof));
                Assert.False(TiledTree.IsConsistent(earlier, earlierRoot, size, root, [.. proof, new byte[32]]));
            }
        }
    }

    private static (TreeEdge Edge, Tiles Tiles, byte[][] Hashes) Grow(int size)
    {
        var edge = new TreeEdge();
        var tiles = new Tiles();
        var hashes = new byte[size][];
        var changes = new List<TileChange>();
        for (var i = 0; i < size; i++)
        {
            hashes[i] = Merkle.HashLeaf(Encoding.ASCII.GetBytes($"leaf {i}"));
            edge.Append(hashes[i], changes);
        }
        edge.DrainPartialTiles(changes);
        foreach (var change in changes)
            tiles.Put(change.Level, change.Index, change.Hashes);
        if (size % 256 is > 0 and var rest)
            tiles.Put(0, size / 256, hashes[^rest..].SelectMany(h => h).ToArray());
        return (edge, tiles, hashes);
    }

    // MTH as RFC 6962 §2.1 writes it.
    private static byte[] Definition(ReadOnlySpan<byte[]> hashes)
    {
        if (hashes.Length == 1)
            return hashes[0];
        var split = 1;
        while (split * 2 < hashes.Length)
            split *= 2;
        return Merkle.HashNode(Definition(hashes[..split]), Definition(hashes[split..]));
    }

    private sealed class Tiles
    {
        private readonly SortedDictionary<(int, long), byte[]> _tiles = [];

        public void Put(int level, long index, byte[] hashes) => _tiles[(level, index)] = hashes;

        public byte[] Read(TilePath path) => _tiles[(path.Level, path.Index)][..(path.Width * 32)];

        public Dictionary<long, byte[]> Of(int level) => _tiles.Where(t => t.Key.Item1 == level).ToDictionary(t => t.Key.Item2, t => t.Value);
    }
}
