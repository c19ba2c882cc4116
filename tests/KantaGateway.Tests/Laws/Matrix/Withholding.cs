using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>
/// One way in which a part of a record is withheld: how the entries of a plan are written so that just its hidden part is, and by which scope it is read.
/// </summary>
/// <param name="Name">For the report.</param>
/// <param name="Scope">Of the reader.</param>
sealed record Withholding(string Name, Func<DisclosureScope, DisclosureScope> Scope)
{
    private const string Profiles = "https://hl7.fi/fhir/finnish-base-profiles/";

    /// <summary>Which of the plan's resources are hidden; the rest of its hidden part is left out of both houses, see <see cref="Leaves"/>.</summary>
    public Func<PlannedResource, bool> Hides { get; init; } = r => r.IsHidden;

    /// <summary>Resources that are in neither house.</summary>
    public Func<PlannedResource, bool> Leaves { get; init; } = _ => false;

    /// <summary>Changes a resource before it is written. The flag: it is hidden by itself, and not because it refers to something that is.</summary>
    public Action<PlannedResource, JsonObject, bool> Marks { get; init; } = (_, _, _) => { };

    /// <summary>Register of the other clinic that a resource goes to.</summary>
    public Func<PlannedResource, bool, string> RegisterOf { get; init; } = (_, _) => Register.Patient;

    /// <summary>What the house that hides stores besides, once the resource is there; of one that is hidden by itself.</summary>
    public Func<PlannedResource, string, JsonObject?> Besides { get; init; } = (_, _) => null;

    /// <summary>The same scope once ids are known.</summary>
    public Func<DisclosureScope, Func<string, string>, DisclosureScope> Named { get; init; } = (s, _) => s;

    private static readonly string Employed = Register.Occupational("0204819-8");

    public static IReadOnlyList<Withholding> All { get; } =
    [
        new("denied service event", s => s with { Withheld = new() { ServiceEvents = [RecordPlan.DeniedEvent] } }),
        new("denied register", s => s with { Withheld = new() { Registers = [Register.Of(Repository.RepositoryWorld.Aurora, Employed)] } })
        {
            // What names the visit by its OID, or comes from elsewhere and refers to it, stands in the register that is not denied.
            RegisterOf = (r, itself) => itself && (r.Type == "Encounter" || !NamesVisit(r)) ? Employed : Register.Patient,
        },
        new("denied prescription", s => s)
        {
            Hides = r => r.Label is "orderh" or "medicineh",
            Named = (s, id) => s with { Withheld = new() { Prescriptions = [id("orderh")] } },
        },
        new("specially protected", s => s with { Withheld = new() { SpeciallyProtected = true, SeenServices = ProtectedService.Genetics } })
        {
            // They would be seen, and would refer to a visit that the other house does not have.
            Leaves = r => r.IsHidden && r.Type is "AllergyIntolerance" or "MedicationRequest" or "Medication",
            Marks = (r, body, _) =>
            {
                if (r.Label == "denied")
                    body["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "142");
            },
        },
        new("not for custodians", s => s with { Breadth = Breadth.WholePerson, Withheld = new() { FromCustodians = true } })
        {
            // By the visit's code, by an entry's own, or because nothing is said.
            Marks = (r, body, _) =>
            {
                if (!r.IsHidden)
                    body["meta"] = Security("urn:oid:1.2.246.537.5.40202.201901", r.Label.Length % 2 == 0 ? "1" : "2");
                else if (r.Type != "Encounter" && (r.Label[^1] + r.Label.Length) % 3 == 0)
                    body["meta"] = Security("urn:oid:1.2.246.537.5.40202", r.Label.Length % 2 == 0 ? "3" : "4");
                else if (r.Type == "Encounter")
                    body["meta"] = Security("urn:oid:1.2.246.537.5.40202", "3");
            },
        },
        new("not yet released", s => s with { Breadth = Breadth.WholePerson, Withheld = new() { UnreleasedAt = DateTimeOffset.UtcNow } })
        {
            Besides = (r, id) => new()
            {
                ["resourceType"] = "Provenance", ["recorded"] = "2026-01-05T08:10:00+02:00", ["target"] = new JsonArray(new JsonObject { ["reference"] = $"{r.Type}/{id}" }),
                ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["display"] = "Klinikka Aurora" } }),
                ["extension"] = new JsonArray(new JsonObject { ["url"] = Profiles + "StructureDefinition/ReleaseDateForPatientViewing", ["valueDate"] = "2999-01-01" }),
            },
        },
        new("everything at once", s => s with
        {
            Withheld = new()
            {
                ServiceEvents = [RecordPlan.DeniedEvent], Registers = [Register.Of(Repository.RepositoryWorld.Aurora, Employed)], SpeciallyProtected = true, UnreleasedAt = DateTimeOffset.UtcNow,
            },
        }),
    ];

    /// <summary>Whether a resource names the denied visit by its OID.</summary>
    private static bool NamesVisit(PlannedResource resource) => resource.Body.ToJsonString().Contains(RecordPlan.DeniedEvent, StringComparison.Ordinal);

    private static JsonObject Security(string system, string code) => new() { ["security"] = new JsonArray(new JsonObject { ["system"] = system, ["code"] = code }) };

    private static JsonObject Concept(string system, string code) => new() { ["coding"] = new JsonArray(new JsonObject { ["system"] = system, ["code"] = code }) };

    public override string ToString() => Name;

    /// <summary>Of the non-disclosure: a person's record and those of people around them, with or without where they live.</summary>
    public static IEnumerable<JsonObject> People(string patientId, bool withContacts)
    {
        for (var i = 0; i < 4; i++)
        {
            var related = new JsonObject
            {
                ["resourceType"] = "RelatedPerson", ["patient"] = new JsonObject { ["reference"] = "Patient/" + patientId },
                ["name"] = new JsonArray(new JsonObject { ["family"] = RecordPlan.Words[i] }),
            };
            if (withContacts)
                AddContacts(related, i);
            yield return related;
        }
        var contained = new JsonObject { ["resourceType"] = "RelatedPerson", ["id"] = "c", ["patient"] = new JsonObject { ["reference"] = "Patient/" + patientId } };
        if (withContacts)
            AddContacts(contained, 4);
        yield return new()
        {
            ["resourceType"] = "Observation", ["contained"] = new JsonArray(contained), ["status"] = "final", ["performer"] = new JsonArray(new JsonObject { ["reference"] = "#c" }),
            ["code"] = Concept("http://loinc.org", RecordPlan.Codes[0]), ["subject"] = new JsonObject { ["reference"] = "Patient/" + patientId },
        };
    }

    /// <summary>A person's record under the label.</summary>
    public static JsonObject Person(JsonObject patient, bool withContacts)
    {
        patient["meta"] = Security(ContactDetails.LabelSystem, "TURVAKIELTO");
        if (!withContacts)
            return patient;
        AddContacts(patient, 5);
        patient["contact"] = new JsonArray(new JsonObject { ["telecom"] = new JsonArray(new JsonObject { ["system"] = "phone", ["value"] = "0401" }) });
        return patient;
    }

    private static void AddContacts(JsonObject person, int number)
    {
        person["address"] = new JsonArray(new JsonObject { ["use"] = "home", ["line"] = new JsonArray("Salatie"), ["city"] = "DACBFE".Substring(number, 1), ["country"] = "FI" });
        person["telecom"] = new JsonArray(new JsonObject { ["system"] = "phone", ["value"] = "040" + number }, new JsonObject { ["system"] = "email", ["value"] = $"s{number}@example.org" });
        person["text"] = new JsonObject { ["status"] = "generated", ["div"] = "<div xmlns=\"http://www.w3.org/1999/xhtml\">Salatie</div>" };
    }
}
