using System.Buffers.Binary;
using System.Text;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Fhir.Search;

/// <summary>Content of a Binary that is kept apart from its row, in sealed parts.</summary>
/// <param name="Id">Of the parts in the store.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Digest">SHA-256 of all of it, 32 bytes.</param>
public sealed record StoredContent(Guid Id, long Size, byte[] Digest)
{
    internal const int Length = 16 + 8 + 32;

    internal void Write(Span<byte> to)
    {
        Id.TryWriteBytes(to, bigEndian: true, out _);
        BinaryPrimitives.WriteInt64LittleEndian(to[16..], Size);
        Digest.CopyTo(to[24..]);
    }

    internal static StoredContent Read(ReadOnlySpan<byte> from) =>
        new(new(from[..16], bigEndian: true), BinaryPrimitives.ReadInt64LittleEndian(from[16..]), from[24..Length].ToArray());
}

/// <summary>What an index entry says of its resource version, besides the search values.</summary>
public sealed record IndexHeader
{
    /// <summary>FHIR resource type.</summary>
    public required string Type { get; init; }

    /// <summary>Sequence of the resource's first row in its compartment; 0 for Patient. Its logical id is made of it.</summary>
    public required long ResourceSequence { get; init; }

    /// <summary>Sequence of this version's own row. Its version id is made of it.</summary>
    public required long RowSequence { get; init; }

    /// <summary>OID of the data controller, dotted.</summary>
    public required string Controller { get; init; }

    /// <summary>Which of the controller's registers it is in, as <see cref="Grants.Register"/> names it (Act 703/2023 §18).</summary>
    public string Register { get; init; } = Grants.Register.Patient;

    /// <summary>OID of the service event, dotted; null: none.</summary>
    public string? ServiceEvent { get; init; }

    /// <summary>
    /// OIDs of the service events of what this version refers to, and of what refers to it where it is a companion; without
    /// its own. Ordinal order, each once.
    /// </summary>
    public IReadOnlyList<string> RelatedEvents { get; init; } = [];

    /// <summary>Bytes of the stored JSON; 0 for a deletion.</summary>
    public int BodySize { get; init; }

    /// <summary>Kept to the millisecond.</summary>
    public required DateTimeOffset LastUpdated { get; init; }

    /// <summary>This version is a deletion.</summary>
    public bool IsDeleted { get; init; }

    /// <summary>Null where all there is stands in the row.</summary>
    public StoredContent? Content { get; init; }

    /// <summary>
    /// Sequences of the resources in the compartment that this version refers to, and of those that refer to it where it is a companion;
    /// the Patient not among them. Ascending, each once.
    /// </summary>
    public IReadOnlyList<int> Targets { get; init; } = [];

    /// <summary>Who may be shown it; null where it says nothing of that.</summary>
    public EntryLabels? Labels { get; init; }

    /// <summary>It may hold a person's address or ways to reach them, see <see cref="ContactDetails"/>.</summary>
    public bool HasContacts { get; init; }

    /// <summary>A Patient record under a non-disclosure for personal safety (turvakielto).</summary>
    public bool NonDisclosure { get; init; }
}

/// <summary>
/// An index entry read in place: the header and search values of one resource version, as they lie decrypted in
/// memory. Reading allocates nothing but the strings that are asked for by name.
/// </summary>
/// <remarks>
/// Layout, little-endian: format (1), flags (1), resource sequence (8), row sequence (8), last updated as UTC ticks (8),
/// body size (4), then type, controller, register, service event, each with its length (1) before it; the number of related events
/// (7-bit groups) and each of them likewise; where the flag says so, the content (56); where
/// the flag says so, the number of targets and each target (7-bit groups); where the flag says so, the labels; then search values to the end in the order of their codes, each parameter code
/// (2), <see cref="ValueKind"/> (1), length (7-bit groups), payload as <see cref="ValueKind"/> says.
/// </remarks>
public readonly ref struct IndexEntry
{
    internal const byte Format = 4;
    internal const int TypeAt = 30;

    [Flags]
    internal enum Flags : byte { None = 0, Deleted = 1, Policy = 2, PerController = 4, Content = 8, Targets = 16, Labels = 32, Contacts = 64, NonDisclosure = 128 }

    private readonly ReadOnlySpan<byte> _bytes;
    private readonly ReadOnlySpan<byte> _related, _targets, _labels;
    private readonly int _contentAt;

    /// <exception cref="InvalidDataException">Not an entry, or of a later format.</exception>
    public IndexEntry(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < TypeAt + 4 || bytes[0] != Format)
            throw new InvalidDataException("Not an index entry of a known format.");
        _bytes = bytes;
        var at = TypeAt;
        Type = Text(ref at);
        Controller = Text(ref at);
        Register = Text(ref at);
        ServiceEvent = Text(ref at);
        var rest = bytes[at..];
        RelatedCount = SearchValues.ReadLength(ref rest);
        var end = bytes.Length - rest.Length;
        _related = bytes[end..];
        for (var i = 0; i < RelatedCount; i++)
            _ = Text(ref end);
        if ((FlagsOf & Flags.Content) != 0)
        {
            Content = StoredContent.Read(bytes.Slice(_contentAt = end, StoredContent.Length));
            end += StoredContent.Length;
        }
        rest = bytes[end..];
        if ((FlagsOf & Flags.Targets) != 0)
        {
            TargetCount = SearchValues.ReadLength(ref rest);
            _targets = rest;
            for (var i = 0; i < TargetCount; i++)
                _ = SearchValues.ReadLength(ref rest);
        }
        if ((FlagsOf & Flags.Labels) != 0)
        {
            _labels = rest;
            // Only their length: who wants them asks.
            rest = rest[EntryLabels.FixedSize..];
            for (var count = SearchValues.ReadLength(ref rest); count > 0; count--)
                _ = SearchValues.ReadLength(ref rest);
        }
        Values = rest;
    }

    /// <summary>Null where all there is stands in the row.</summary>
    public StoredContent? Content { get; }

    public long ResourceSequence => BinaryPrimitives.ReadInt64LittleEndian(_bytes[2..]);

    public long RowSequence => BinaryPrimitives.ReadInt64LittleEndian(_bytes[10..]);

    /// <summary>UTC ticks.</summary>
    public long LastUpdatedTicks => BinaryPrimitives.ReadInt64LittleEndian(_bytes[18..]);

    /// <summary>Bytes of the stored JSON.</summary>
    public int BodySize => BinaryPrimitives.ReadInt32LittleEndian(_bytes[26..]);

    public DateTimeOffset LastUpdated => new(LastUpdatedTicks, TimeSpan.Zero);

    public bool IsDeleted => (FlagsOf & Flags.Deleted) != 0;

    /// <summary>A Consent, an Encounter, an Appointment or a Patient record: writing it makes a new policy version.</summary>
    public bool IsPolicyRelevant => (FlagsOf & Flags.Policy) != 0;

    /// <summary>A Patient: every register has its own record under the one id.</summary>
    public bool IsPerController => (FlagsOf & Flags.PerController) != 0;

    /// <inheritdoc cref="IndexHeader.HasContacts"/>
    public bool HasContacts => (FlagsOf & Flags.Contacts) != 0;

    /// <inheritdoc cref="IndexHeader.NonDisclosure"/>
    public bool NonDisclosure => (FlagsOf & Flags.NonDisclosure) != 0;

    /// <summary>Whether it says anything of who may be shown it.</summary>
    public bool HasLabels => (FlagsOf & Flags.Labels) != 0;

    /// <summary>Who may be shown it; null where it says nothing of that.</summary>
    public EntryLabels? Labels()
    {
        var from = _labels;
        return HasLabels ? EntryLabels.Read(ref from) : null;
    }

    /// <summary>Resource type, UTF-8.</summary>
    public ReadOnlySpan<byte> Type { get; }

    /// <summary>OID of the controller, UTF-8.</summary>
    public ReadOnlySpan<byte> Controller { get; }

    /// <summary>Name of the register, UTF-8.</summary>
    public ReadOnlySpan<byte> Register { get; }

    /// <summary>OID of the service event, UTF-8; empty: none.</summary>
    public ReadOnlySpan<byte> ServiceEvent { get; }

    /// <summary>How many service events of others it is related to.</summary>
    public int RelatedCount { get; }

    /// <summary>OIDs of the related service events.</summary>
    public string[] RelatedEvents()
    {
        if (RelatedCount == 0)
            return [];
        var events = new string[RelatedCount];
        var rest = _related;
        for (var i = 0; i < events.Length; i++)
        {
            events[i] = Encoding.UTF8.GetString(rest.Slice(1, rest[0]));
            rest = rest[(1 + rest[0])..];
        }
        return events;
    }

    /// <summary>How many resources of the compartment it refers to.</summary>
    public int TargetCount { get; }

    /// <summary>Sequences of the resources that it refers to.</summary>
    public int[] Targets()
    {
        if (TargetCount == 0)
            return [];
        var targets = new int[TargetCount];
        var rest = _targets;
        for (var i = 0; i < targets.Length; i++)
            targets[i] = SearchValues.ReadLength(ref rest);
        return targets;
    }

    /// <summary>The search values, to be read with <see cref="SearchValues"/>.</summary>
    internal ReadOnlySpan<byte> Values { get; }

    /// <summary>Everything of the header as strings.</summary>
    public IndexHeader ToHeader() => new()
    {
        Type = Encoding.UTF8.GetString(Type),
        ResourceSequence = ResourceSequence,
        RowSequence = RowSequence,
        Controller = Encoding.UTF8.GetString(Controller),
        Register = Encoding.UTF8.GetString(Register),
        ServiceEvent = ServiceEvent.IsEmpty ? null : Encoding.UTF8.GetString(ServiceEvent),
        RelatedEvents = RelatedEvents(),
        BodySize = BodySize,
        LastUpdated = LastUpdated,
        IsDeleted = IsDeleted,
        Content = Content,
        Targets = Targets(),
        Labels = Labels(),
        HasContacts = HasContacts,
        NonDisclosure = NonDisclosure,
    };

    /// <summary>A copy of the entry whose content has other parts; nothing else of it changes.</summary>
    /// <param name="content">Of the parts in the store.</param>
    /// <exception cref="InvalidOperationException">It has no content.</exception>
    public byte[] WithParts(Guid content)
    {
        if (Content is null)
            throw new InvalidOperationException("The entry has no content.");
        var copy = _bytes.ToArray();
        (Content with { Id = content }).Write(copy.AsSpan(_contentAt));
        return copy;
    }

    /// <summary>A copy of the entry without the values of some parameters.</summary>
    internal byte[] Without(ReadOnlySpan<ushort> codes)
    {
        var copy = new byte[_bytes.Length];
        var length = _bytes.Length - Values.Length;
        _bytes[..length].CopyTo(copy);
        var values = new SearchValues(Values);
        while (values.Next())
            if (!codes.Contains(values.Code))
            {
                values.Whole.CopyTo(copy.AsSpan(length));
                length += values.Whole.Length;
            }
        return copy[..length];
    }

    private Flags FlagsOf => (Flags)_bytes[1];

    private ReadOnlySpan<byte> Text(scoped ref int at)
    {
        int length = _bytes[at];
        var text = _bytes.Slice(at + 1, length);
        at += 1 + length;
        return text;
    }
}

/// <summary>What a search value in an entry is.</summary>
/// <remarks>Texts are UTF-8, lengths before them in 7-bit groups, decimals 16 bytes as .NET has them.</remarks>
enum ValueKind : byte
{
    /// <summary>Length of system, system, code.</summary>
    Token = 1,

    /// <summary>As <see cref="Token"/>; the system is implied by the element (data type code) and not asked for.</summary>
    ImpliedToken = 2,

    /// <summary>Text or display of a token, normalised (<see cref="SearchText"/>).</summary>
    TokenText = 3,

    /// <summary>An identifier with its type: length of system, system of the type, length of code, code of the type, value.</summary>
    TypedIdentifier = 4,

    /// <summary>Start and end ticks (8 + 8).</summary>
    Date = 5,

    /// <summary>The literal.</summary>
    Reference = 6,

    /// <summary>A reference's identifier, as <see cref="Token"/>.</summary>
    LogicalReference = 7,

    /// <summary>Length of the normalised text, the normalised text, the text.</summary>
    String = 8,

    /// <summary>Lowest and highest (16 + 16).</summary>
    Number = 9,

    /// <summary>Lowest and highest (16 + 16), length of system, system, length of code, code, unit.</summary>
    Quantity = 10,

    /// <summary>A UCUM quantity in base units: lowest and highest (16 + 16), unit.</summary>
    CanonicalQuantity = 11,

    /// <summary>The URI.</summary>
    Uri = 12,

    /// <summary>Values of one element together: each index of the component (1), kind (1), length, payload.</summary>
    Composite = 13,

    /// <summary>A place on earth: latitude and longitude in degrees (8 + 8, IEEE 754).</summary>
    Position = 14,
}

/// <summary>Steps through the search values of an entry.</summary>
ref struct SearchValues(ReadOnlySpan<byte> values)
{
    private ReadOnlySpan<byte> _rest = values;

    /// <summary>Code of the parameter.</summary>
    public ushort Code { get; private set; }

    public ValueKind Kind { get; private set; }

    public ReadOnlySpan<byte> Payload { get; private set; }

    /// <summary>The value as it is written, code and all.</summary>
    public ReadOnlySpan<byte> Whole { get; private set; }

    public bool Next()
    {
        if (_rest.IsEmpty)
            return false;
        var whole = _rest;
        Code = BinaryPrimitives.ReadUInt16LittleEndian(_rest);
        Kind = (ValueKind)_rest[2];
        _rest = _rest[3..];
        var length = ReadLength(ref _rest);
        Payload = _rest[..length];
        _rest = _rest[length..];
        Whole = whole[..(whole.Length - _rest.Length)];
        return true;
    }

    /// <summary>Goes to the next value of one parameter; false when there is none further on, for they are in the order of their codes.</summary>
    public bool Next(ushort code)
    {
        while (_rest.Length > 4)
        {
            var at = BinaryPrimitives.ReadUInt16LittleEndian(_rest);
            if (at > code)
                return false;
            if (at == code)
                return Next();
            int length = _rest[3];
            if (length < 0x80)
                _rest = _rest[(4 + length)..];
            else
                Next();
        }
        return false;
    }

    /// <summary>Code of the payload of a token.</summary>
    public static ReadOnlySpan<byte> CodeOf(ReadOnlySpan<byte> token)
    {
        var system = ReadLength(ref token);
        return token[system..];
    }

    /// <summary>Reads a length in 7-bit groups, low group first.</summary>
    public static int ReadLength(ref ReadOnlySpan<byte> bytes)
    {
        var value = 0;
        for (var shift = 0; shift < 35; shift += 7)
        {
            var b = bytes[0];
            bytes = bytes[1..];
            value |= (b & 0x7F) << shift;
            if (b < 0x80)
                return value;
        }
        throw new InvalidDataException("A length in an index entry is broken.");
    }
}
