using System.Text;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Repository.Compartments;

/// <summary>One resource version in an opened compartment: its decrypted index entry and its place among the versions.</summary>
sealed class CompartmentRow : SearchRecord
{
    /// <summary>FHIR instant in UTC, to the millisecond.</summary>
    public const string InstantFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";

    private CompartmentRow(byte[] entry)
    {
        var index = new IndexEntry(entry);
        Entry = entry;
        Sequence = index.RowSequence;
        Resource = index.ResourceSequence;
        // Types and controllers are few and no secret; a service event belongs to one patient.
        Type = string.Intern(Encoding.UTF8.GetString(index.Type));
        Controller = string.Intern(Encoding.UTF8.GetString(index.Controller));
        ServiceEvent = index.ServiceEvent.IsEmpty ? null : Encoding.UTF8.GetString(index.ServiceEvent);
        RelatedEvents = index.RelatedEvents();
        BodySize = index.BodySize;
        LastUpdated = index.LastUpdated;
        Deleted = index.IsDeleted;
        IsPatient = index.IsPerController;
        DecidesPolicy = index.IsPolicyRelevant;
        Content = index.Content;
        First = this;
        Latest = this;
    }

    /// <summary>The decrypted entry: header and search values. Zeroed when the compartment is closed.</summary>
    public override byte[] Entry { get; }

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
    public CompartmentRow First { get; set; }

    /// <summary>The version before this one; null on the first.</summary>
    public CompartmentRow? Previous { get; set; }

    /// <summary>On a first version only: the newest one loaded so far, which may lie beyond an older view.</summary>
    public CompartmentRow Latest { get; set; }

    /// <exception cref="TamperedException">It is no entry, or one of another row.</exception>
    public static CompartmentRow Read(long sequence, byte[] entry)
    {
        try
        {
            var row = new CompartmentRow(entry);
            return row.Sequence == sequence ? row : throw new TamperedException("An index entry belongs to another row.");
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentOutOfRangeException or IndexOutOfRangeException)
        {
            throw new TamperedException("An index entry is of no known form.");
        }
    }
}
