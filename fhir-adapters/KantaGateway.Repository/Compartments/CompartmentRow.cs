using System.Text;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Repository.Compartments;

/// <summary>One resource version: of an opened compartment, or about to be written to one.</summary>
sealed class CompartmentRow : SearchRecord
{
    /// <summary>FHIR instant in UTC, to the millisecond.</summary>
    public const string InstantFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";

    // One of the two: a row of a table, or an entry that no table has yet.
    private readonly RowTable? _table;
    private readonly byte[]? _entry;

    internal CompartmentRow(RowTable table, int sequence, in RowTable.Facts facts)
    {
        _table = table;
        Sequence = sequence;
        Type = table.TypeOf(facts);
        Controller = table.ControllerOf(facts);
        ServiceEvent = table.EventOf(facts);
        var extras = table.ExtrasOf(facts);
        RelatedEvents = extras.RelatedEvents;
        Content = extras.Content;
        BodySize = facts.BodySize;
        LastUpdated = new(facts.LastUpdatedTicks, TimeSpan.Zero);
        Deleted = (facts.Marks & RowTable.RowMarks.Deleted) != 0;
        IsPatient = (facts.Marks & RowTable.RowMarks.Patient) != 0;
        DecidesPolicy = (facts.Marks & RowTable.RowMarks.Policy) != 0;
        Resource = IsPatient ? 0 : facts.First;
    }

    private CompartmentRow(byte[] entry)
    {
        _entry = entry;
        var index = new IndexEntry(entry);
        Sequence = index.RowSequence;
        Resource = index.ResourceSequence;
        Type = Encoding.UTF8.GetString(index.Type);
        Controller = Encoding.UTF8.GetString(index.Controller);
        ServiceEvent = index.ServiceEvent.IsEmpty ? null : Encoding.UTF8.GetString(index.ServiceEvent);
        RelatedEvents = index.RelatedEvents();
        BodySize = index.BodySize;
        LastUpdated = index.LastUpdated;
        Deleted = index.IsDeleted;
        IsPatient = index.IsPerController;
        DecidesPolicy = index.IsPolicyRelevant;
        Content = index.Content;
    }

    /// <summary>The decrypted entry: header and search values. Zeroed when the compartment is closed.</summary>
    /// <exception cref="InvalidOperationException">The compartment was opened for reading by id only.</exception>
    public override ReadOnlySpan<byte> Entry => _entry is null ? _table!.EntryOf((int)Sequence) : _entry;

    public long Sequence { get; }

    /// <summary>Sequence of the resource's first row; 0 for a Patient record.</summary>
    public long Resource { get; }

    public override string Type { get; }

    /// <summary>OID of the data controller.</summary>
    public string Controller { get; }

    /// <summary>OID of the service event; null when it belongs to none.</summary>
    public string? ServiceEvent { get; }

    /// <summary>OIDs of the service events of what it refers to, its own not among them; usually empty.</summary>
    public string[] RelatedEvents { get; }

    /// <summary>Sequences of the resources in the compartment that it refers to.</summary>
    public ReadOnlySpan<int> Targets => _table is null ? new IndexEntry(_entry).Targets() : _table.TargetsOf(_table.FactsOf((int)Sequence));

    /// <summary>Bytes of its JSON.</summary>
    public int BodySize { get; }

    public DateTimeOffset LastUpdated { get; }

    /// <summary>This version is the deletion.</summary>
    public bool Deleted { get; }

    public bool IsPatient { get; }

    /// <summary>Content of a Binary that is kept apart; null where all there is stands in the body.</summary>
    public StoredContent? Content { get; }

    /// <summary>A Consent or Encounter: with it begins a new policy version.</summary>
    public bool DecidesPolicy { get; }

    /// <summary>Logical id and version id once they have been asked for, see <see cref="Interactions.RowNames"/>.</summary>
    public string? Id { get; set; }

    /// <inheritdoc cref="Id"/>
    public string? VersionId { get; set; }

    /// <summary>First version of the same resource; of a Patient: of the same controller's record.</summary>
    public CompartmentRow First => _table is null ? this : _table.Row(_table.FactsOf((int)Sequence).First);

    /// <summary>The version before this one; null on the first.</summary>
    public CompartmentRow? Previous => _table?.FactsOf((int)Sequence).Previous is > 0 and var previous ? _table.Row(previous) : null;

    /// <summary>A row about to be written.</summary>
    /// <param name="entry">As <see cref="Indexer"/> made it.</param>
    public static CompartmentRow Of(byte[] entry) => new(entry);
}
