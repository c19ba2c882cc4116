using KantaGateway.Audit.Tree;

namespace KantaGateway.Tests.Audit;

public class TilePathTests
{
    [Theory]
    [InlineData("tile/0/000", 0, 0, 256)]
    [InlineData("tile/1/x001/x234/067", 1, 1_234_067, 256)]
    [InlineData("tile/63/999.p/255", 63, 999, 255)]
    [InlineData("tile/entries/x001/000.p/1", TilePath.Entries, 1000, 1)]
    public void Accepts_and_prints_the_paths_of_the_specification(string text, int level, long index, int width)
    {
        Assert.True(TilePath.TryParse(text, out var path));
        Assert.Equal(new TilePath(level, index, width), path);
        Assert.Equal(text, path.ToString());
    }

    [Theory]
    [InlineData("tile/0/0"), InlineData("tile/00/000"), InlineData("tile/64/000"), InlineData("tile/0/001/002"), InlineData("tile/0/x000/001")]
    [InlineData("tile/0/000.p/0"), InlineData("tile/0/000.p/256"), InlineData("tile/0/000.p/01"), InlineData("tile/0/xx001/000"), InlineData("tile/-1/000")]
    [InlineData("tile/0/000.p"), InlineData("tile/0/x001"), InlineData("tile/0/../000"), InlineData(""), InlineData("checkpoint")]
    [InlineData("tile/0/x999/x999/x999/x999/x999/x999/x999/999")]
    public void Rejects_every_other_spelling(string text) => Assert.False(TilePath.TryParse(text, out _));

    [Fact]
    public void A_tile_exists_once_the_tree_has_its_last_leaf()
    {
        Assert.Equal(256, new TilePath(0, 0, 256).EndSize);
        Assert.Equal(1000 * 256 + 7, new TilePath(TilePath.Entries, 1000, 7).EndSize);
        Assert.Equal(17 * 256, new TilePath(1, 0, 17).EndSize);
        Assert.Equal(long.MaxValue, new TilePath(40, 3, 1).EndSize);
    }
}
