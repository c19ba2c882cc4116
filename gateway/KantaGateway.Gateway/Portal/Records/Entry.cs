using System.Text.Json;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>One resource of the citizen's own record.</summary>
/// <param name="Type">FHIR type.</param>
/// <param name="Id">FHIR id, opaque.</param>
/// <param name="Organisation">OID of the controller that recorded it; empty when the answer did not say.</param>
/// <param name="ServiceEvent">Dotted OID of the service event; null when it names none or its visit is not known.</param>
/// <param name="Resource">The FHIR JSON.</param>
internal sealed record Entry(string Type, string Id, string Organisation, string? ServiceEvent, JsonElement Resource)
{
    /// <summary>Which of the controller's registers it is in, where that was asked for: as <see cref="Fhir.Grants.Register"/> names it.</summary>
    public string Register { get; init; } = Fhir.Grants.Register.Patient;

    /// <summary>Whether it is no entry, but a request of hers to have one rectified, or the answer, which have a page of their own.</summary>
    public bool IsRequest => Type == "Communication" && Consent.RectificationRequest.IsLetter(Resource);

    private readonly Lazy<StatedTime?> _when = new(() => FhirText.When(Resource));

    /// <summary>When it happened, else when it was written down; null when neither is stated.</summary>
    public StatedTime? When => _when.Value;

    /// <summary>Id of the Encounter that it refers to; null for none.</summary>
    public string? Visit => Type == "Encounter" ? Id : FhirText.EncounterId(Resource);

    /// <summary>When this version was stored.</summary>
    public StatedTime? Stored => StatedTime.Read(Resource.At("meta")?.String("lastUpdated"));
}

/// <summary>The citizen's entries that one look at the record gave.</summary>
/// <param name="Entries">Newest first; undated ones last.</param>
/// <param name="Truncated">There are more than a page may carry.</param>
internal sealed record EntryList(IReadOnlyList<Entry> Entries, bool Truncated);

/// <summary>An entry and what belongs to the same visit.</summary>
/// <param name="Visit">The visit that it belongs to; null of a visit itself, and where it names none.</param>
/// <param name="OfVisit">Of a visit: what refers to it.</param>
internal sealed record EntryInContext(Entry Entry, Entry? Visit, EntryList OfVisit);
