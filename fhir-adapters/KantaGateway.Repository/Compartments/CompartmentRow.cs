using System.Text;
using KantaGateway.Fhir.Protection;
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
        Register = table.RegisterOf(facts);
        ServiceEvent = table.EventOf(facts);
        var extras = table.ExtrasOf(facts);
        RelatedEvents = extras.RelatedEvents;
        Content = extras.Content;
        Labels = extras.Labels;
        BodySize = facts.BodySize;
        LastUpdated = new(facts.LastUpdatedTicks, TimeSpan.Zero);
        Deleted = (facts.Marks & RowTable.RowMarks.Deleted) != 0;
        IsPatient = (facts.Marks & RowTable.RowMarks.Patient) != 0;
        DecidesPolicy = (facts.Marks & RowTable.RowMarks.Policy) != 0;
        HasContacts = (facts.Marks & RowTable.RowMarks.Contacts) != 0;
        NonDisclosure = (facts.Marks & RowTable.RowMarks.NonDisclosure) != 0;
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
        Register = Encoding.UTF8.GetString(index.Register);
        ServiceEvent = index.ServiceEvent.IsEmpty ? null : Encoding.UTF8.GetString(index.ServiceEvent);
        RelatedEvents = index.RelatedEvents();
        BodySize = index.BodySize;
        LastUpdated = index.LastUpdated;
        Deleted = index.IsDeleted;
        IsPatient = index.IsPerController;
        DecidesPolicy = index.IsPolicyRelevant;
        Content = index.Content;
        Labels = index.Labels();
        HasContacts = index.HasContacts;
        NonDisclosure = index.NonDisclosure;
    }

    private CompartmentRow(CompartmentRow of, byte[] entry)
    {
        (_table, _entry) = (of._table, entry);
        (Sequence, Resource, Type, Controller, Register) = (of.Sequence, of.Resource, of.Type, of.Controller, of.Register);
        (ServiceEvent, RelatedEvents, Content, Labels) = (of.ServiceEvent, of.RelatedEvents, of.Content, of.Labels);
        (BodySize, LastUpdated, Deleted, IsPatient, DecidesPolicy) = (of.BodySize, of.LastUpdated, of.Deleted, of.IsPatient, of.DecidesPolicy);
        (HasContacts, NonDisclosure) = (of.HasContacts, of.NonDisclosure);
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

    /// <summary>Which of the controller's registers it is in.</summary>
    public string Register { get; }

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

    /// <summary>Who may be shown it; null where it says nothing of that.</summary>
    public EntryLabels? Labels { get; }

    /// <summary>It may hold a person's address or ways to reach them.</summary>
    public bool HasContacts { get; }

    /// <summary>A Patient record under a non-disclosure for personal safety (turvakielto).</summary>
    public bool NonDisclosure { get; }

    /// <summary>A Consent, an Encounter, an Appointment, or a Patient record that tells something new: with it begins a new policy version.</summary>
    public bool DecidesPolicy { get; }

    /// <summary>Logical id and version id once they have been asked for, see <see cref="Interactions.RowNames"/>.</summary>
    public string? Id { get; set; }

    /// <inheritdoc cref="Id"/>
    public string? VersionId { get; set; }

    /// <summary>First version of the same resource; of a Patient: of the same register's record.</summary>
    public CompartmentRow First => _table is null ? this : _table.Row(_table.FactsOf((int)Sequence).First);

    /// <summary>The version before this one; null on the first.</summary>
    public CompartmentRow? Previous => _table?.FactsOf((int)Sequence).Previous is > 0 and var previous ? _table.Row(previous) : null;

    /// <summary>The same row with another entry, for one search.</summary>
    public CompartmentRow With(byte[] entry) => new(this, entry);

    /// <summary>A row about to be written.</summary>
    /// <param name="entry">As <see cref="Indexer"/> made it.</param>
    public static CompartmentRow Of(byte[] entry) => new(entry);
}
