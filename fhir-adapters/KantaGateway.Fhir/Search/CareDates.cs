namespace KantaGateway.Fhir.Search;

/// <summary>
/// Which resources of a type belong to care between two times, as <c>$everything</c> asks
/// (hl7.org/fhir/R4/patient-operation-everything.html: care dates, not record currency dates).
/// </summary>
/// <remarks>
/// The dates of care of a resource are the values of its type's own search parameters of kind date: of an Encounter its period, of an
/// Observation when it was made, of a Condition onset, end and when it was recorded, of a DocumentReference the period of its context
/// and when it was indexed. Births, deaths and dates that are themselves a result are none. A resource belongs to the range when one
/// of them overlaps it; one that has none, such as a Patient, a Coverage or a Medication, belongs to every range, for nothing says that
/// it is outside. Immutable.
/// </remarks>
public sealed class CareDates
{
    private readonly ushort[] _codes;

    private CareDates(string type) => _codes = [.. SearchParameters.Of(type)
        .Where(p => p is { Kind: SearchKind.Date, Name: not ("birthdate" or "death-date" or "value-date") }).Select(p => p.Code)];

    public static CareDates Of(string type) => new(type);

    /// <summary>Whether a record of the type belongs to the range.</summary>
    public bool Concern(SearchRecord record, TimeRange range)
    {
        var isDated = false;
        foreach (var code in _codes)
        {
            var values = new SearchValues(new IndexEntry(record.Entry).Values);
            while (values.Next(code))
            {
                if (values.Kind != ValueKind.Date)
                    continue;
                if (TimeRange.Read(values.Payload).Overlaps(range))
                    return true;
                isDated = true;
            }
        }
        return !isDated;
    }
}
