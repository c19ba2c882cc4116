using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// The rows of an opened compartment: of each the header as numbers, 60 bytes without an object, and beside it the whole
/// entry where something was searched. A row becomes an object when it is first asked for and stays that object.
/// </summary>
/// <remarks>
/// One thread at a time adds; the others read rows up to the head of their view meanwhile. Pages never move, so a
/// row is one object however the table grows.
/// </remarks>
/// <param name="compartment">Whose rows they are.</param>
/// <param name="identifiers">Reads the logical ids that a grant names.</param>
/// <param name="grown">Told of bytes that reading has added: rows that became objects.</param>
/// <param name="rules">By which practices everything that they record is of a protected service; null: by none.</param>
sealed class RowTable(Pseudonym compartment, IdentifierCipher? identifiers, Action<long> grown, ProtectionRules? rules = null)
{
    /// <summary>Bytes that a row object takes with its names.</summary>
    private const int ObjectSize = 400;

    private const int PageSize = 32;

    private volatile Page[] _pages = [];
    private volatile TypeRows[] _types = [];
    private readonly Growing<RegisterName> _registers = new();
    private readonly Growing<Name> _events = new();
    private readonly Growing<Extras> _extras = new();

    /// <summary>Of each row that refers to others: how many, then the first version of each.</summary>
    private readonly Growing<int> _targets = new();

    private volatile WithheldRows[] _withheld = [];

    private readonly List<byte[]> _slabs = [];
    private byte[] _slab = [];
    private int _slabUsed;
    private long _expected;

    [InlineArray(PageSize)]
    private struct PageOfFacts
    {
        private Facts _first;
    }

    private sealed class Page
    {
        public PageOfFacts Facts;
        public CompartmentRow?[]? Rows;
        public EntryPlace[]? Entries;
    }

    /// <summary>Where a decrypted entry lies; of many in one array, so that the collector has few to look at.</summary>
    private readonly record struct EntryPlace(byte[]? Slab, int At, int Length);

    /// <summary>Entries of one load lie in arrays of this many bytes: large ones are freed late.</summary>
    private const int SlabSize = 64 << 10;

    /// <summary>A header. Other rows by their sequence, names by their place in a table.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public struct Facts
    {
        /// <summary>Of the sealed entry: the row after it and its body take it in.</summary>
        public UInt128 Tag;

        public long LastUpdatedTicks;
        public int First;
        public int Previous;

        /// <summary>Of a first version: the newest one added so far, which may lie beyond an older view.</summary>
        public int Latest;

        public int BodySize;
        public int Register;

        /// <summary>1-based; 0: none.</summary>
        public int Event;

        /// <inheritdoc cref="Event"/>
        public int Extras;

        /// <inheritdoc cref="Event"/>
        public int Targets;

        public byte Type;
        public RowMarks Marks;
    }

    [Flags]
    public enum RowMarks : byte { None = 0, Deleted = 1, Patient = 2, Policy = 4, Contacts = 8, NonDisclosure = 16 }

    private sealed record Name(byte[] Utf8, string Text);

    /// <param name="Services">What everything in it is of, by the rules of today and not of when it was written: a practice is protected as a whole from the day on which that is known.</param>
    private sealed record RegisterName(Name Controller, Name Register, ProtectedService Services);

    /// <summary>Grows while others read what they know to be in it.</summary>
    private sealed class Growing<T>
    {
        private volatile T[] _items = [];
        private volatile int _count;

        public int Count => _count;

        public T this[int at] => _items[at];

        /// <summary>Some that have been added.</summary>
        public ReadOnlySpan<T> Slice(int at, int count) => _items.AsSpan(at, count);

        /// <summary>All that is in it now.</summary>
        public ArraySegment<T> Items
        {
            get
            {
                // The count before the array: the array is then at least as new.
                var count = _count;
                return new(_items, 0, count);
            }
        }

        public int Add(T item)
        {
            if (_items.Length == _count)
            {
                var more = new T[Math.Max(4, _count * 2)];
                _items.CopyTo(more, 0);
                _items = more;
            }
            _items[_count] = item;
            return _count++;
        }
    }

    /// <summary>What few rows have.</summary>
    public sealed record Extras(string[] RelatedEvents, StoredContent? Content, EntryLabels? Labels)
    {
        public static readonly Extras None = new([], null, null);
    }

    /// <param name="Firsts">First versions of the type's resources in the order of their creation.</param>
    private sealed record TypeRows(Name Name, Growing<int> Firsts);

    /// <summary>Rows added so far.</summary>
    public int Count { get; private set; }

    /// <summary>Whether the rows have their whole entries, and those that are added keep theirs.</summary>
    public bool HasEntries { get; private set; }

    /// <summary>Sequence of the last row that wrote something a decision rests on; 0 for none.</summary>
    public long PolicyVersion { get; private set; }

    /// <summary>Types of which there are resources up to a head, deleted ones too.</summary>
    public IEnumerable<string> Types(int head)
    {
        foreach (var type in _types)
            if (type.Firsts.Count > 0 && type.Firsts[0] <= head)
                yield return type.Name.Text;
    }

    /// <summary>The row with this sequence, which has been added.</summary>
    public CompartmentRow Row(int sequence)
    {
        var page = _pages[(sequence - 1) / PageSize];
        var at = (sequence - 1) % PageSize;
        var rows = page.Rows ?? Interlocked.CompareExchange(ref page.Rows, new CompartmentRow?[PageSize], null) ?? page.Rows;
        if (rows[at] is { } known)
            return known;
        var made = new CompartmentRow(this, sequence, page.Facts[at]);
        if (Interlocked.CompareExchange(ref rows[at], made, null) is { } other)
            return other;
        grown(ObjectSize);
        return made;
    }

    public ref readonly Facts FactsOf(int sequence) => ref _pages[(sequence - 1) / PageSize].Facts[(sequence - 1) % PageSize];

    public string TypeOf(in Facts facts) => _types[facts.Type].Name.Text;

    public string ControllerOf(in Facts facts) => _registers[facts.Register].Controller.Text;

    public string RegisterOf(in Facts facts) => _registers[facts.Register].Register.Text;

    public string? EventOf(in Facts facts) => facts.Event == 0 ? null : _events[facts.Event - 1].Text;

    public Extras ExtrasOf(in Facts facts) => facts.Extras == 0 ? Extras.None : _extras[facts.Extras - 1];

    /// <summary>First versions of the resources that a row refers to.</summary>
    public ReadOnlySpan<int> TargetsOf(in Facts facts) => facts.Targets == 0 ? [] : _targets.Slice(facts.Targets, _targets[facts.Targets - 1]);

    /// <summary>Tag of the entry of a row, which stands for all rows up to it; 0 of none.</summary>
    public UInt128 TagOf(int sequence) => sequence == 0 ? 0 : FactsOf(sequence).Tag;

    /// <summary>Newest version up to a head of the resource that a row is a version of.</summary>
    public int NewestOf(int sequence, int head)
    {
        // A later view may already have added versions; go back to this one's.
        var newest = Volatile.Read(in FactsOf(FactsOf(sequence).First).Latest);
        while (newest > head)
            newest = FactsOf(newest).Previous;
        return newest;
    }

    /// <summary>What is withheld of the rows up to a head.</summary>
    public WithheldRows Withheld(Withheld withheld, int head)
    {
        const int kept = 8;
        var known = _withheld;
        foreach (var rows in known)
            if (rows.Head == head && ReferenceEquals(rows.Withheld, withheld))
                return rows;
        // Releases begin at full hours: within one, the same is released.
        var plain = WithheldRows.Plain(withheld);
        var found = (known.FirstOrDefault(r => r.Head == head && WithheldRows.Plain(r.Withheld) == plain) ?? WithheldRows.Of(this, plain, head)).Under(withheld);
        // Who comes between loses a look-up and nothing else.
        _withheld = [found, .. known.Take(kept - 1)];
        return found;
    }

    /// <summary>Sequences of the resources with these logical ids; ids of another compartment name nothing here.</summary>
    public HashSet<int> ResourcesWith(IReadOnlyList<string> ids)
    {
        var sequences = new HashSet<int>();
        foreach (var id in ids)
            if (identifiers is not null && identifiers.TryReadResourceId(id, out var of, out var sequence) && of == compartment && sequence is > 0 and <= int.MaxValue)
                sequences.Add((int)sequence);
        return sequences;
    }

    /// <summary>Rows up to a head that are signed forms behind Consents or requests for rectification, or tell of one; null: there are none.</summary>
    public System.Collections.BitArray? Forms(int head)
    {
        if (!HasSources && !HasRequests)
            return null;
        var known = _forms;
        return known?.Head == head ? known.Rows : (_forms = new(head, WithheldRows.FormsOf(this, head))).Rows;
    }

    private sealed record FormRows(int Head, System.Collections.BitArray? Rows);

    private volatile FormRows? _forms;

    /// <summary>Whether any Consent refers to something.</summary>
    private bool HasSources { get; set; }

    /// <summary>Whether any row is a request for rectification.</summary>
    public bool HasRequests { get; private set; }

    /// <summary>Of each register by its number in <see cref="Facts.Register"/> whether it is one of these, as <see cref="Register.Of"/> writes them.</summary>
    public bool[] RegistersAmong(HashSet<string> registers)
    {
        var names = _registers.Items;
        var among = new bool[names.Count];
        for (var i = 0; i < names.Count; i++)
            among[i] = registers.Contains(Register.Of(names[i].Controller.Text, names[i].Register.Text));
        return among;
    }

    /// <summary>Services of all rows together: what no row is of need not be looked for.</summary>
    public ProtectedService Services { get; private set; }

    /// <summary>Whether any row says when it is released.</summary>
    public bool HasReleases { get; private set; }

    /// <summary>Whether any row ever said that it restricts who may be shown the record at all.</summary>
    public bool HasRestrictions { get; private set; }

    /// <summary>Whether a Patient record stands, up to a head, under a non-disclosure for personal safety (turvakielto), whoever keeps it.</summary>
    public bool IsNonDisclosure(int head)
    {
        foreach (var first in FirstsOf("Patient", head))
            if ((FactsOf(NewestOf(first, head)).Marks & RowMarks.NonDisclosure) != 0)
                return true;
        return false;
    }

    /// <summary>Of each service event by its number in <see cref="Facts.Event"/> whether it is one of these; at 0, of none.</summary>
    public bool[] EventsAmong(HashSet<string> serviceEvents)
    {
        var events = _events.Items;
        var among = new bool[events.Count + 1];
        for (var i = 0; i < events.Count; i++)
            among[i + 1] = serviceEvents.Contains(events[i].Text);
        return among;
    }

    /// <summary>The decrypted entry of a row.</summary>
    /// <exception cref="InvalidOperationException">The compartment was opened for reading by id only.</exception>
    public ReadOnlySpan<byte> EntryOf(int sequence)
    {
        var place = _pages[(sequence - 1) / PageSize].Entries is { } entries ? entries[(sequence - 1) % PageSize] : default;
        return place.Slab is { } slab ? slab.AsSpan(place.At, place.Length) : throw new InvalidOperationException("The compartment was opened without what is searched.");
    }

    /// <summary>First versions of a type's resources up to a head, in the order of their creation.</summary>
    public ArraySegment<int> FirstsOf(string type, int head)
    {
        foreach (var rows in _types)
            if (rows.Name.Text == type)
            {
                var firsts = rows.Firsts.Items;
                var at = firsts.AsSpan().BinarySearch(head);
                return firsts[..(at < 0 ? ~at : at + 1)];
            }
        return ArraySegment<int>.Empty;
    }

    /// <summary>Adds the next row. Only one thread at a time.</summary>
    /// <param name="sequence">Continues the count.</param>
    /// <param name="tag">Of its sealed entry.</param>
    /// <param name="entry">Its decrypted entry, which is copied where entries are kept.</param>
    /// <returns>Bytes that it takes.</returns>
    /// <exception cref="TamperedException">It is no entry, one of another row, or there is a gap before it.</exception>
    public long Add(long sequence, UInt128 tag, ReadOnlySpan<byte> entry)
    {
        try
        {
            return Add(sequence, tag, new IndexEntry(entry), entry);
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentOutOfRangeException or IndexOutOfRangeException)
        {
            throw new TamperedException("An index entry is of no known form.");
        }
    }

    /// <summary>From here on the rows have their whole entries: given to each that there is with <see cref="Keep"/>, added with each that follows.</summary>
    public void KeepEntries() => HasEntries = true;

    /// <summary>Makes room for the entries of several rows that are about to be kept.</summary>
    /// <param name="bytes">Of all of them.</param>
    public void Expect(long bytes) => _expected = bytes;

    /// <summary>Keeps the entry of a row that has been added without.</summary>
    /// <returns>Bytes that it takes.</returns>
    public long Keep(long sequence, ReadOnlySpan<byte> entry)
    {
        var size = 0L;
        if (_slab.Length - _slabUsed < entry.Length)
        {
            _slab = new byte[Math.Max(entry.Length, (int)Math.Min(_expected, SlabSize))];
            _slabUsed = 0;
            _slabs.Add(_slab);
            size += _slab.Length + 32;
        }
        entry.CopyTo(_slab.AsSpan(_slabUsed));
        var page = _pages[(sequence - 1) / PageSize];
        if (page.Entries is null)
        {
            page.Entries = new EntryPlace[PageSize];
            size += Unsafe.SizeOf<EntryPlace>() * PageSize + 24;
        }
        page.Entries[(sequence - 1) % PageSize] = new(_slab, _slabUsed, entry.Length);
        _slabUsed += entry.Length;
        _expected = Math.Max(0, _expected - entry.Length);
        return size;
    }

    /// <summary>Overwrites everything that was decrypted.</summary>
    public void Zero()
    {
        foreach (var slab in _slabs)
            System.Security.Cryptography.CryptographicOperations.ZeroMemory(slab);
        foreach (var page in _pages)
            page.Facts = default;
    }

    private long Add(long sequence, UInt128 tag, in IndexEntry index, ReadOnlySpan<byte> entry)
    {
        if (index.RowSequence != sequence)
            throw new TamperedException("An index entry belongs to another row.");
        if (sequence != Count + 1)
            throw new TamperedException("A row of a compartment is missing.");
        var size = 0L;
        var at = Count % PageSize;
        if (at == 0)
        {
            _pages = [.. _pages, new Page()];
            size += Unsafe.SizeOf<PageOfFacts>() + PageSize * IntPtr.Size + 64;
        }
        var page = _pages[^1];
        var events = _events.Count;
        var type = TypeAt(index.Type);
        ref var facts = ref page.Facts[at];
        facts = new()
        {
            Tag = tag,
            LastUpdatedTicks = index.LastUpdatedTicks,
            Latest = (int)sequence,
            BodySize = index.BodySize,
            Type = (byte)type,
            Register = RegisterAt(index.Controller, index.Register),
            // Rows of one visit stand together; a name that comes again later may stand twice.
            Event = index.ServiceEvent.IsEmpty ? 0 : NameAt(_events, index.ServiceEvent, 8) + 1,
            Marks = (index.IsDeleted ? RowMarks.Deleted : 0) | (index.IsPerController ? RowMarks.Patient : 0) | (index.IsPolicyRelevant ? RowMarks.Policy : 0)
                | (index.HasContacts ? RowMarks.Contacts : 0) | (index.NonDisclosure ? RowMarks.NonDisclosure : 0),
        };
        if (_events.Count > events)
            size += 300;
        var ofPractice = _registers[facts.Register].Services;
        if (index.RelatedCount > 0 || index.Content is not null || index.HasLabels || ofPractice != 0)
        {
            var labels = index.Labels();
            if (ofPractice != 0)
            {
                labels ??= new() { About = WithheldRows.HasParts(_types[type].Name.Text) ? index.Targets() : [] };
                labels = labels with { Services = labels.Services | ofPractice };
            }
            Services |= labels?.Services ?? 0;
            HasReleases |= labels is { ReleasedAt: not null } or { IsDelayed: true };
            HasRestrictions |= labels is { Restricts: true };
            HasRequests |= labels is { IsRequest: true };
            facts.Extras = _extras.Add(new(index.RelatedEvents(), index.Content, labels)) + 1;
            size += 200 + 80 * index.RelatedCount + (labels is null ? 0 : 64 + sizeof(int) * labels.About.Count);
        }
        if (index.TargetCount > 0)
        {
            HasSources |= index.Type.SequenceEqual("Consent"u8);
            facts.Targets = _targets.Add(index.TargetCount) + 1;
            foreach (var target in index.Targets())
                _targets.Add(target);
            size += sizeof(int) * (1 + index.TargetCount);
        }
        Chain(ref facts, (int)sequence, index.ResourceSequence, _types[type]);
        if (HasEntries)
            size += Keep(sequence, entry);
        if (index.IsPolicyRelevant)
            PolicyVersion = sequence;
        Count++;
        return size;
    }

    private void Chain(ref Facts facts, int sequence, long resource, TypeRows type)
    {
        var first = (facts.Marks & RowMarks.Patient) != 0 ? PatientOf(facts.Register, type)
            : resource > 0 && resource < sequence && FactsOf((int)resource).First == resource && (FactsOf((int)resource).Marks & RowMarks.Patient) == 0 ? (int)resource
            : 0;
        if (first != 0)
        {
            ref var of = ref _pages[(first - 1) / PageSize].Facts[(first - 1) % PageSize];
            (facts.First, facts.Previous) = (first, of.Latest);
            // Last, for from here on others see it.
            Volatile.Write(ref of.Latest, sequence);
            return;
        }
        if ((facts.Marks & RowMarks.Patient) == 0 && resource != sequence)
            throw new TamperedException("A row belongs to a resource that does not exist.");
        facts.First = sequence;
        type.Firsts.Add(sequence);
    }

    private int PatientOf(int register, TypeRows type)
    {
        foreach (var first in type.Firsts.Items)
            if (FactsOf(first).Register == register)
                return first;
        return 0;
    }

    private int TypeAt(ReadOnlySpan<byte> utf8)
    {
        for (var i = 0; i < _types.Length; i++)
            if (utf8.SequenceEqual(_types[i].Name.Utf8))
                return i;
        if (_types.Length > byte.MaxValue)
            throw new TamperedException("A compartment has more types than there are.");
        // Types are few and no secret.
        _types = [.. _types, new(new(utf8.ToArray(), string.Intern(Encoding.UTF8.GetString(utf8))), new())];
        return _types.Length - 1;
    }

    private int RegisterAt(ReadOnlySpan<byte> controller, ReadOnlySpan<byte> register)
    {
        for (var i = 0; i < _registers.Count; i++)
            if (controller.SequenceEqual(_registers[i].Controller.Utf8) && register.SequenceEqual(_registers[i].Register.Utf8))
                return i;
        var keeper = NameOf(controller);
        return _registers.Add(new(keeper, NameOf(register), compartment.IsDirectory ? ProtectedService.None : rules?.OfController(keeper.Text) ?? ProtectedService.None));

        static Name NameOf(ReadOnlySpan<byte> utf8) => new(utf8.ToArray(), Encoding.UTF8.GetString(utf8));
    }

    /// <param name="back">How many of the last names to look at.</param>
    private static int NameAt(Growing<Name> names, ReadOnlySpan<byte> utf8, int back)
    {
        for (var i = names.Count - 1; i >= 0 && i >= names.Count - back; i--)
            if (utf8.SequenceEqual(names[i].Utf8))
                return i;
        return names.Add(new(utf8.ToArray(), Encoding.UTF8.GetString(utf8)));
    }
}
