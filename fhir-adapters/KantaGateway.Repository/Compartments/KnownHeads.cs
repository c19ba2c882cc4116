using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Compartments;

/// <summary>The last row of a compartment that this process has seen.</summary>
/// <param name="Sequence">0: none.</param>
/// <param name="Tag">Of its sealed entry, which stands for all rows up to it.</param>
readonly record struct KnownHead(int Sequence, UInt128 Tag);

/// <summary>
/// How far the compartments were when this process last had them open. A compartment whose last rows are taken away together with its head opens like any other: who knows that there were
/// more is who has seen them. Bounded: of those that were closed longest ago it is forgotten. Thread-safe.
/// </summary>
/// <param name="most">Compartments, about 60 bytes each; up to twice as many are remembered.</param>
sealed class KnownHeads(int most)
{
    private readonly Lock _gate = new();
    private Dictionary<Pseudonym, KnownHead> _newer = [], _older = [];

    public KnownHead Of(Pseudonym compartment)
    {
        lock (_gate)
            return _newer.TryGetValue(compartment, out var head) || _older.TryGetValue(compartment, out head) ? head : default;
    }

    /// <summary>Remembers one; never an older one than is known.</summary>
    public void Keep(Pseudonym compartment, KnownHead head)
    {
        lock (_gate)
        {
            if (head.Sequence <= Of(compartment).Sequence)
                head = Of(compartment);
            if (head.Sequence == 0)
                return;
            if (_newer.Count >= most && !_newer.ContainsKey(compartment))
                (_older, _newer) = (_newer, []);
            _newer[compartment] = head;
        }
    }
}
