namespace KantaGateway.Keys.Ceremonies;

/// <summary>The versions of a key that ceremonies have put into service; no other is used for anything. Thread-safe.</summary>
abstract class KeyVersions
{
    private volatile uint[] _serving = [];

    /// <summary>What is new is of it: the highest.</summary>
    /// <exception cref="InvalidOperationException">None serves.</exception>
    public uint Current => _serving is [.., var highest] ? highest : throw new InvalidOperationException("No version of the key serves.");

    public IReadOnlyList<uint> All => _serving;

    public bool Serves(uint version) => Array.BinarySearch(_serving, version) >= 0;

    public void Set(IEnumerable<uint> versions) => _serving = [.. versions.Order()];
}

/// <summary>Those of the wrapping key: data keys are wrapped with the current one, and what is under another one that serves opens.</summary>
sealed class WrappingVersions : KeyVersions;

/// <summary>Those of the pseudonym key: people are named by the current one, and found by another one that serves.</summary>
sealed class PseudonymVersions : KeyVersions;
