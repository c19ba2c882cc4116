using System.Collections;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// Of whose keys a store has told since the start. That it has told of everybody is believed where it has told of each whose record was known to be stored at the start: only the store knows their numbers. Thread-safe.
/// </summary>
sealed class ToldRecords(KnownHeads heads)
{
    private readonly Lock _gate = new();
    private BitArray? _told;

    /// <param name="people">Digests under which their heads are kept.</param>
    public void Add(IEnumerable<Digest> people)
    {
        foreach (var place in people.Select(heads.Of).OfType<KnownHead>().Select(static known => known.Place).Where(place => place < heads.PlacesBefore))
            lock (_gate)
                (_told ??= new(heads.PlacesBefore))[place] = true;
    }

    /// <summary>How many records are known to be stored, and were at the start, of which no store has told since.</summary>
    public int Left
    {
        get
        {
            lock (_gate)
                return heads.CountPlaces(place => place < heads.PlacesBefore && _told?[place] is not true);
        }
    }
}
