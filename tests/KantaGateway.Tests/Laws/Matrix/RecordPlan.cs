#pragma warning disable CA5394 // The same number must give the same record; nothing here is a secret.
using System.Globalization;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>A resource to be written, before it has an id.</summary>
/// <param name="Label">Stands for its id in references and requests: <c>{label}</c>.</param>
/// <param name="ByReader">In the reader's own register; else in the other clinic's.</param>
/// <param name="IsHidden">Under the denial, by its own service event or by what it refers to.</param>
/// <param name="Body">With <c>Type/{label}</c> for references.</param>
sealed record PlannedResource(string Label, string Type, bool ByReader, bool IsHidden, JsonObject Body)
{
    /// <summary>Stored in one transaction with the resource of this label; null: by itself.</summary>
    public string? With { get; init; }

    /// <summary>Deleted after all has been written.</summary>
    public bool IsDeleted { get; init; }

    /// <summary>Updated once after all has been written.</summary>
    public bool IsUpdated { get; init; }
}

/// <summary>
/// A random record of one person in two registers, part of it under a denied service event. The same number gives the
/// same record. The hidden part shares codes, names, dates and quantities with the rest, and has some of its own.
/// </summary>
sealed class RecordPlan
{
    public const string DeniedEvent = "1.2.246.10.99000011.14.2026.66", OpenEvent = "1.2.246.10.99000022.14.2026.1";

    /// <summary>Codes that only hidden resources have come last.</summary>
    public static readonly string[] Codes = ["29463-7", "8302-2", "8867-4", "72514-3", "55758-7", "69730-0"];

    public static readonly string[] Words = ["paino", "uni", "ahdistus", "väsymys", "terapia", "itsetuho"];

    public static readonly string[] Dates = ["2019", "2020-03", "2021-05-17", "2021-05-17T10:30:00+03:00", "2022-12-31T23:59:59Z", "2018-07-07"];

    private readonly Random _random;

    public RecordPlan(int number)
    {
        _random = new Random(number * 7919 + 13);
        Resources = Make();
    }

    public IReadOnlyList<PlannedResource> Resources { get; }

    public IEnumerable<PlannedResource> Visible => Resources.Where(r => !r.IsHidden);

    private List<PlannedResource> Make()
    {
        var all = new List<PlannedResource>();
        var hidden = new HashSet<string>();
        Add(Encounter("visit0", "1.2.246.10.99000011.14.2026.1", "finished"), byReader: false, isDenied: false);
        Add(Encounter("denied", DeniedEvent, "finished"), byReader: false, isDenied: true);
        Add(Encounter("own", OpenEvent, "in-progress"), byReader: true, isDenied: false);
        for (var i = 0; i < 26; i++)
        {
            var isDenied = _random.Next(5) < 2;
            var byReader = !isDenied && _random.Next(3) == 0;
            Add(Some($"r{i}", isDenied, byReader), byReader, isDenied);
        }
        // Something that comes with another: a medicine with its prescription, a text with its document.
        foreach (var isDenied in new[] { true, false })
        {
            var suffix = isDenied ? "h" : "v";
            Add(("medicine" + suffix, "Medication", new JsonObject { ["resourceType"] = "Medication", ["code"] = Concept(isDenied) }), false, isDenied, with: "order" + suffix);
            Add(("order" + suffix, "MedicationRequest", In(isDenied, byReader: false, new JsonObject
            {
                ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order",
                ["medicationReference"] = Reference("Medication/{medicine" + suffix + "}"), ["subject"] = Reference("Patient/{patient}"),
                ["authoredOn"] = Date(isDenied),
            })), false, isDenied, with: "order" + suffix);
            Add(("text" + suffix, "Binary", new JsonObject { ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["data"] = "VGVrc3Rpw6Q=" }), false, isDenied, with: "document" + suffix);
            Add(("document" + suffix, "DocumentReference", WithEncounterInContext(isDenied, new JsonObject
            {
                ["resourceType"] = "DocumentReference", ["status"] = "current", ["type"] = Concept(isDenied), ["subject"] = Reference("Patient/{patient}"), ["date"] = "2021-05-17T10:30:00Z",
                ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = "Binary/{text" + suffix + "}" } }),
            })), false, isDenied, with: "document" + suffix);
        }
        // What tells of the denied visit from another one.
        Add(("telling", "Observation", In(isDenied: false, byReader: false, new JsonObject
        {
            ["resourceType"] = "Observation", ["status"] = "final", ["code"] = Concept(isDenied: false), ["subject"] = Reference("Patient/{patient}"),
            ["extension"] = new JsonArray(new JsonObject { ["url"] = "https://example.org/about", ["valueUri"] = "urn:oid:" + DeniedEvent }),
        })), byReader: false, isDenied: true);
        return all;

        void Add((string Label, string Type, JsonObject Body) resource, bool byReader, bool isDenied, string? with = null)
        {
            // What refers to something hidden is hidden with it.
            var isHidden = isDenied || hidden.Any(h => resource.Body.ToJsonString().Contains($"{{{h}}}", StringComparison.Ordinal));
            if (isHidden)
                hidden.Add(resource.Label);
            all.Add(new(resource.Label, resource.Type, byReader, isHidden, resource.Body)
            {
                With = with,
                IsDeleted = with is null && resource.Type != "Encounter" && _random.Next(12) == 0,
                IsUpdated = with is null && resource.Type == "Observation" && _random.Next(4) == 0,
            });
        }
    }

    private (string, string, JsonObject) Some(string label, bool isDenied, bool byReader) => _random.Next(6) switch
    {
        0 => (label, "Condition", In(isDenied, byReader, new JsonObject
        {
            ["resourceType"] = "Condition", ["code"] = Concept(isDenied), ["subject"] = Reference("Patient/{patient}"), ["onsetDateTime"] = Date(isDenied),
            ["clinicalStatus"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/condition-clinical", ["code"] = "active" }) },
            ["identifier"] = Identifier(isDenied),
        })),
        1 => (label, "Procedure", In(isDenied, byReader, new JsonObject
        {
            ["resourceType"] = "Procedure", ["status"] = "completed", ["code"] = Concept(isDenied), ["subject"] = Reference("Patient/{patient}"),
            ["performedPeriod"] = new JsonObject { ["start"] = Date(isDenied) },
        })),
        2 => (label, "AllergyIntolerance", In(isDenied, byReader, new JsonObject
        {
            ["resourceType"] = "AllergyIntolerance", ["code"] = Concept(isDenied), ["patient"] = Reference("Patient/{patient}"), ["criticality"] = _random.Next(2) == 0 ? "low" : "high",
            ["clinicalStatus"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", ["code"] = "active" }) },
        })),
        _ => (label, "Observation", In(isDenied, byReader, new JsonObject
        {
            ["resourceType"] = "Observation", ["status"] = _random.Next(3) == 0 ? "preliminary" : "final", ["code"] = Concept(isDenied), ["subject"] = Reference("Patient/{patient}"),
            ["effectiveDateTime"] = Date(isDenied), ["identifier"] = Identifier(isDenied),
            ["valueQuantity"] = new JsonObject { ["value"] = _random.Next(1, 9) * (isDenied ? 111 : 1), ["system"] = "http://unitsofmeasure.org", ["code"] = _random.Next(2) == 0 ? "kg" : "g", ["unit"] = "kg" },
            ["note"] = new JsonArray(new JsonObject { ["text"] = Pick(Words, isDenied) }),
        })),
    };

    private JsonObject In(bool isDenied, bool byReader, JsonObject body)
    {
        // Some name the visit by its OID alone.
        body["encounter"] = isDenied && _random.Next(3) == 0
            ? new JsonObject { ["type"] = "Encounter", ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + DeniedEvent } }
            : Reference($"Encounter/{{{(isDenied ? "denied" : byReader ? "own" : "visit0")}}}");
        return body;
    }

    private static JsonObject WithEncounterInContext(bool isDenied, JsonObject body)
    {
        body["context"] = new JsonObject { ["encounter"] = new JsonArray(Reference($"Encounter/{{{(isDenied ? "denied" : "visit0")}}}")) };
        return body;
    }

    private static (string, string, JsonObject) Encounter(string label, string oid, string status) => (label, "Encounter", new JsonObject
    {
        ["resourceType"] = "Encounter",
        ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + oid }),
        ["status"] = status,
        ["class"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "AMB" },
        ["subject"] = Reference("Patient/{patient}"),
    });

    private JsonObject Concept(bool isDenied) => new()
    {
        ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = Pick(Codes, isDenied), ["display"] = Pick(Words, isDenied) }),
        ["text"] = Pick(Words, isDenied),
    };

    private JsonArray Identifier(bool isDenied) =>
        new(new JsonObject { ["system"] = "urn:matrix", ["value"] = (isDenied ? "h" : "v") + _random.Next(6).ToString(CultureInfo.InvariantCulture) });

    private string Date(bool isDenied) => Pick(Dates, isDenied);

    /// <summary>Of a list whose last word only hidden resources use.</summary>
    private string Pick(string[] values, bool isDenied) => values[_random.Next(values.Length - (isDenied ? 0 : 1))];

    private static JsonObject Reference(string target) => new() { ["reference"] = target };
}
