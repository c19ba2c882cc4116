using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Identification;
using Microsoft.Extensions.Primitives;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// Finds the one compartment that search parameters concern. A parameter that says whom it is about decides:
/// <c>patient</c>, <c>subject</c>, the identity code of either, <c>Patient?identifier</c>. Without one, the resources that are
/// named by id do: <c>_id</c> and references such as <c>encounter</c>.
/// </summary>
/// <remarks>An id tells its compartment whether or not the resource exists, so nothing here depends on what is stored.</remarks>
/// <param name="address">Public address of the gateway: references below its FHIR base count as relative.</param>
/// <param name="testCodes">Whether identity codes are those of a test service, see <see cref="ForeignCode"/>.</param>
public sealed class SearchedCompartment(IdentifierCipher ids, IPseudonyms pseudonyms, string address, bool testCodes)
{
    private const string IdentityCode = PersonalIdentityCode.System + "|";

    private readonly string _base = address + "/fhir/";

    /// <returns>The compartment; without one the fault says what is wrong, or is null where the parameters name nobody.</returns>
    public async ValueTask<(Pseudonym?, Fault?)> OfAsync(string type, IEnumerable<KeyValuePair<string, StringValues>> parameters, CancellationToken cancel)
    {
        Pseudonym? person = null, record = null;
        Fault? apart = null;
        foreach (var (name, values) in parameters)
            foreach (var value in values)
            {
                if (string.IsNullOrEmpty(value))
                    continue;
                if (RefusedParameter(type, name, value) is { } refused)
                    return (null, refused);
                foreach (var alternative in value.Split(','))
                {
                    var (about, fault) = await PersonInAsync(type, name, alternative, cancel);
                    if (fault is not null)
                        return (null, fault);
                    if (about is not null && person is not null && about != person)
                        return (null, Several(name));
                    person ??= about;
                    if (about is null && RecordOf(type, name, alternative) is { } of)
                    {
                        if (record is not null && record != of)
                            apart ??= Several(name);
                        record ??= of;
                    }
                }
            }
        return person is not null ? (person, null) : apart is not null ? (null, apart) : (record, null);
    }

    /// <summary>What reaches beyond one patient's record, with what to do instead; null for everything else.</summary>
    public static Fault? RefusedParameter(string type, string name, string value)
    {
        if (name == "_list")
            return new(FaultKind.NotSupported, "A search is not narrowed by a List. Read the List and what it names: GET List?patient=[id]&_include=List:item.", "http._list");
        if (ResourceTypes.PlaceOf(type) != ResourcePlace.Directory)
            return null;
        var referrer = name.StartsWith("_has:", StringComparison.Ordinal) ? name.Split(':')[1]
            : name.StartsWith("_revinclude", StringComparison.Ordinal) ? value.Split(':')[0] : null;
        return ResourceTypes.PlaceOf(referrer) is ResourcePlace.Patient or ResourcePlace.Companion
            ? new(FaultKind.NotSupported, $"A search of the directory does not reach patients' records. Search {referrer} for one patient, and include what it refers to.", $"http.{name.Split(':')[0]}")
            : null;
    }

    /// <summary>Whom an alternative of a parameter is about; null where it does not say.</summary>
    private async ValueTask<(Pseudonym?, Fault?)> PersonInAsync(string type, string name, string value, CancellationToken cancel)
    {
        switch (name)
        {
            case "patient" or "subject" or "patient:Patient" or "subject:Patient":
                var (named, id) = Split(value);
                if (named is not (null or "Patient"))
                    return (null, null);
                return ids.TryReadResourceId(id, out var compartment, out _) && !compartment.IsDirectory
                    ? (compartment, null)
                    : (null, new Fault(FaultKind.Invalid, "This is no patient id of this service. Register the patient, or find the id with POST Patient/_search.", $"http.{name}"));
            case "identifier" when type == "Patient":
            case "patient.identifier" or "subject.identifier" or "patient:Patient.identifier" or "subject:Patient.identifier":
            case "patient:identifier" or "subject:identifier":
                if (!value.StartsWith(IdentityCode, StringComparison.Ordinal))
                    return (null, null);
                return !PersonalIdentityCode.TryParse(value[IdentityCode.Length..], out var code)
                    ? (null, new Fault(FaultKind.Invalid, "The identity code is not valid: check all eleven characters.", $"http.{name}"))
                    : ForeignCode(code, testCodes) is { } foreign ? (null, new Fault(FaultKind.Invalid, foreign, $"http.{name}"))
                    : (await pseudonyms.OfAsync(code, cancel), null);
            default:
                return (null, null);
        }
    }

    /// <summary>The patient's compartment in which a resource lies that is named by id; null where none is named.</summary>
    private Pseudonym? RecordOf(string type, string name, string value)
    {
        var (bare, modifier) = name.IndexOf(':') is > 0 and var colon ? (name[..colon], name[(colon + 1)..]) : (name, null);
        if (bare == "_id" ? modifier is not null : modifier is not (null or "above" or "below") && !ResourceTypes.IsServed(modifier) || !IsReference(type, bare))
            return null;
        var (named, id) = Split(value);
        return (named is null || ResourceTypes.PlaceOf(named) is ResourcePlace.Patient or ResourcePlace.Companion)
            && ids.TryReadResourceId(id, out var compartment, out _) && !compartment.IsDirectory ? compartment : null;
    }

    private static bool IsReference(string type, string name)
    {
        foreach (var parameter in SearchParameters.Of(type))
            if (parameter.Name == name)
                return parameter.Kind == SearchKind.Reference;
        return false;
    }

    private (string? Type, string Id) Split(string value)
    {
        if (value.StartsWith(_base, StringComparison.Ordinal))
            value = value[_base.Length..];
        return References.TryReadLocal(value, out var type, out var id) ? (type, id!) : (null, value);
    }

    /// <summary>Numbers 900-999 are in no register: the only ones in a test, none in production. Null: the right kind.</summary>
    public static string? ForeignCode(PersonalIdentityCode code, bool testCodes) => code.IsTemporary == testCodes ? null
        : code.IsTemporary ? "Identity codes with an individual number of 900-999 are not given to anybody and not accepted."
        : "This is a test service: only identity codes with an individual number of 900-999 are accepted.";

    private static Fault Several(string name) => new(FaultKind.Invalid, "The parameters name more than one patient. A search concerns one.", $"http.{name}");
}
