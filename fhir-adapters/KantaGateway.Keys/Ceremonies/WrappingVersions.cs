namespace KantaGateway.Keys.Ceremonies;

/// <summary>The versions of the wrapping key that ceremonies have put into service; no other seals or opens anything. Thread-safe.</summary>
sealed class WrappingVersions
{
    private volatile uint[] _serving = [];

    /// <summary>Data keys are wrapped with it: the highest.</summary>
    /// <exception cref="InvalidOperationException">None serves.</exception>
    public uint Current => _serving is [.., var highest] ? highest : throw new InvalidOperationException("No wrapping key serves.");

    public IReadOnlyList<uint> All => _serving;

    public bool Serves(uint version) => Array.BinarySearch(_serving, version) >= 0;

    public void Set(IEnumerable<uint> versions) => _serving = [.. versions.Order()];
}
