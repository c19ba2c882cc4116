#pragma warning disable CA5394 // The same number must give the same roads; nothing here is a secret.
using System.Globalization;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>One request, with <c>{label}</c> for ids; what it answers must not depend on what is hidden.</summary>
/// <param name="Kind">For the report: which part of the surface it drives.</param>
sealed record Road(string Kind, HttpMethod Method, string Target, string? Body = null, string ContentType = "application/fhir+json", params (string Name, string Value)[] Headers)
{
    /// <summary>Its next links are followed to the end.</summary>
    public bool FollowsPages { get; init; }

    public override string ToString() => $"{Kind}: {Method} {Target} {string.Join(' ', Headers.Select(h => $"[{h.Name}: {h.Value}]"))} {Body}";
}

/// <summary>Random requests of a reader to whom a part of a record is hidden, aimed at that part more often than not.</summary>
sealed class Roads(RecordPlan plan, int number)
{
    private static readonly string[] Types = ["Observation", "Condition", "Procedure", "AllergyIntolerance", "MedicationRequest", "Medication", "DocumentReference", "Binary", "Encounter", "Patient"];

    private readonly Random _random = new(number * 104_729 + 7);

    public Road Next() => _random.Next(24) switch
    {
        0 or 1 => Instance("read", HttpMethod.Get, ""),
        2 => Instance("head", HttpMethod.Head, ""),
        3 => Instance("history", HttpMethod.Get, "/_history" + Pick("", "?_count=1", "?_since=2020-01-01T00:00:00Z", "?_summary=true")) with { FollowsPages = true },
        4 => new("history of type or person", HttpMethod.Get, Pick($"{Type()}/_history?patient={{patient}}&_count={_random.Next(1, 20)}", $"_history?patient={{patient}}&_count={_random.Next(1, 30)}", $"{Type()}/_history")) { FollowsPages = true },
        5 => new("everything", Pick(HttpMethod.Get, HttpMethod.Post), $"Patient/{{patient}}/$everything{Pick("", $"?_count={_random.Next(1, 12)}", "?_type=Observation,Condition", "?_since=2020-01-01T00:00:00Z", "?_type=Encounter&_summary=true", $"?start=2020-01-01&_count={_random.Next(1, 6)}", "?start=2019&end=2021-05-17", "?end=2020&_type=Observation,Condition")}") { FollowsPages = true },
        6 => Pick(Instance("meta", HttpMethod.Get, "/$meta"), Instance("validate what is stored", HttpMethod.Get, "/$validate" + Pick("", "?mode=profile", "?mode=update"))),
        7 => new("docref", HttpMethod.Get, $"DocumentReference/$docref?patient={{patient}}{Pick("", "&start=2020-01-01", "&type=http://loinc.org|" + Code())}"),
        8 => Instance("raw binary", HttpMethod.Get, "", Pick("Binary", "DocumentReference")) with { Headers = [("Accept", Pick("text/plain", "*/*", "application/fhir+json"))] },
        9 => Instance("conditional read", HttpMethod.Get, "") with { Headers = [Pick(("If-None-Match", "W/\"00000000-0000-4000-8000-000000000000\""), ("If-Modified-Since", "Wed, 01 Jan 2020 00:00:00 GMT"))] },
        10 => Instance("format", HttpMethod.Get, Pick("?_format=xml", "?_pretty=true", "?_summary=true", "?_elements=status,code", "?_summary=data")),
        11 => Write(),
        12 => ConditionalWrite(),
        13 => Bundle(),
        14 => Error(),
        15 => Patch(),
        _ => Search(),
    };

    private Road Search()
    {
        var type = Type();
        var parameters = new List<string> { "patient={patient}" };
        for (var i = _random.Next(3); i > 0; i--)
            parameters.Add(Parameter(type));
        for (var i = _random.Next(3); i > 0; i--)
            parameters.Add(Pick(
                $"_count={_random.Next(0, 6)}", $"_sort={Pick("", "-")}{Pick("_lastUpdated", "date", "code", "status", "identifier", "value-quantity", "onset-date")}", "_total=" + Pick("none", "accurate", "estimate"), "_summary=" + Pick("count", "true", "text", "data"),
                "_elements=code,status", $"_include={type}:{Pick("encounter", "patient", "subject", "medication", "*")}", "_include=*", $"_include:iterate={Pick("Observation:encounter", "MedicationRequest:medication", "Encounter:patient")}",
                $"_revinclude={Pick("Observation:encounter", "Condition:encounter", "Observation:patient", "*", "DocumentReference:encounter", "Provenance:target")}", "_revinclude:iterate=Observation:encounter", "_format=xml"));
        var query = string.Join('&', parameters);
        var headers = _random.Next(4) == 0 ? [("Prefer", "handling=lenient")] : Array.Empty<(string, string)>();
        return (_random.Next(3) == 0
            ? new Road("search by POST", HttpMethod.Post, type + "/_search", query, "application/x-www-form-urlencoded", headers)
            : new Road("search", HttpMethod.Get, type + "?" + query, Headers: headers)) with { FollowsPages = true };
    }

    private string Parameter(string type) => _random.Next(18) switch
    {
        0 => $"code{Pick("", ":not", ":missing", ":text", ":in")}=" + Code(),
        1 => "code=http://loinc.org|" + Code() + "," + Code(),
        2 => "code:text=" + Word(),
        3 => $"{Pick("date", "onset-date", "authored-on", "authoredon")}={Pick("", "ge", "lt", "ne", "sa", "eb", "ap", "gt", "le")}{Pick(RecordPlan.Dates).Replace("+", "%2B", StringComparison.Ordinal)}",
        4 => $"value-quantity={Pick("", "gt", "lt", "ap")}{Pick("1", "111", "555", "4")}|http://unitsofmeasure.org|{Pick("kg", "g")}",
        5 => $"code-value-quantity=http://loinc.org|{Code()}${Pick("gt1", "lt999", "111")}",
        6 => $"identifier{Pick("", ":not", ":missing", ":of-type")}=urn:matrix|{Pick("h", "v")}{_random.Next(6)}",
        7 => $"{Pick("encounter=", "encounter:below=", "encounter:above=")}{Pick("Encounter/", "")}{Encounter()}",
        8 => $"encounter.{Pick("status=finished", "identifier=urn:oid:" + Pick(RecordPlan.DeniedEvent, RecordPlan.OpenEvent), "class=AMB", "_id={denied}")}",
        9 => $"encounter:Encounter.{Pick("_has:Condition:encounter:code=" + Code(), "status:not=finished")}",
        10 => $"_has:{Pick("Observation:encounter:code=" + Code(), "Condition:encounter:code:text=" + Word(), "Observation:patient:value-quantity=gt100", "MedicationRequest:medication:status=active", "DocumentReference:encounter:type=" + Code())}",
        11 => $"_id={Label()}{Pick("", "," + Label())}",
        12 => $"_lastUpdated={Pick("gt2020-01-01", "lt2020-01-01", "ge2026-11-01T00:00:00Z")}",
        13 => $"status{Pick("", ":not")}={Pick("final", "preliminary", "finished", "active", "nonsense")}",
        14 => $"{Pick("nonsense", "_text", "_content", "_filter", "near", "_list", "code:nonsense", "patient.name", "subject:Patient.birthdate", "subject.name:exact", "_sort", "_include")}={Word()}",
        15 => $"clinical-status:{Pick("below", "above")}=http://terminology.hl7.org/CodeSystem/condition-clinical|{Pick("active", "relapse", "nonsense")}",
        16 => Pick("clinical-status:in=http://hl7.org/fhir/ValueSet/condition-clinical", "status:not-in=http://hl7.org/fhir/ValueSet/observation-status", "code:not-in=http://hl7.org/fhir/ValueSet/condition-code",
            "encounter.class:below=http://terminology.hl7.org/CodeSystem/v3-ActCode|_ActEncounterCode", "_has:Condition:encounter:clinical-status:in=http://hl7.org/fhir/ValueSet/condition-clinical"),
        _ => $"{Pick("medication", "medication.code", "criticality", "type", "_tag", "_profile", "_security", "contenttype", "clinical-status", "subject", "encounter:missing", "date:missing")}={Pick("true", "active", "low", "text/plain", Code(), "Patient/{patient}")}",
    };

    private Road Instance(string kind, HttpMethod method, string rest, string? type = null)
    {
        var resource = Aim(type);
        return new(kind, method, $"{(_random.Next(8) == 0 ? Type() : resource.Type)}/{{{resource.Label}}}{rest}");
    }

    private Road Write()
    {
        var resource = Aim("Observation");
        return _random.Next(6) switch
        {
            0 => new("delete", HttpMethod.Delete, $"Observation/{{{resource.Label}}}"),
            1 => new("update", HttpMethod.Put, $"Observation/{{{resource.Label}}}", Note(resource.Label), Headers: _random.Next(2) == 0 ? [] : [("If-Match", "W/\"00000000-0000-4000-8000-000000000000\"")]),
            2 => new("create that refers to it", HttpMethod.Post, "Observation", Note(null, focus: Aim(null))),
            3 => new("create in its visit", HttpMethod.Post, "Observation", Note(null, encounter: Encounter())),
            4 => new("publish a document", HttpMethod.Post, "DocumentReference", new JsonObject
            {
                ["resourceType"] = "DocumentReference", ["meta"] = new JsonObject { ["profile"] = new JsonArray(KantaGateway.Fhir.Interactions.SimplifiedPublish.Profile) }, ["status"] = "current",
                ["subject"] = new JsonObject { ["reference"] = "Patient/{patient}" },
                ["context"] = new JsonObject { ["encounter"] = new JsonArray(new JsonObject { ["reference"] = "Encounter/" + Encounter() }) },
                ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["data"] = "VGVrc3Rpw6Q=" } }),
            }.ToJsonString()),
            _ => new("validate", HttpMethod.Post, "Observation/$validate", Note(null, focus: Aim(null))),
        };
    }

    private Road ConditionalWrite()
    {
        var criteria = $"patient={{patient}}&{Pick($"identifier=urn:matrix|{Pick("h", "v", "n")}{_random.Next(6)}", "code=" + Code(), "encounter={denied}", "_has:Provenance:target:agent=x", $"_id={Label()}")}";
        return _random.Next(4) switch
        {
            0 => new("conditional create", HttpMethod.Post, "Observation", Note(null), Headers: [("If-None-Exist", criteria)]),
            1 => new("conditional update", HttpMethod.Put, "Observation?" + criteria, Note(null)),
            2 => new("conditional delete", HttpMethod.Delete, "Observation?" + criteria),
            _ => new("conditional patch", HttpMethod.Patch, "Observation?" + criteria, """[{"op":"replace","path":"/status","value":"amended"}]""", "application/json-patch+json"),
        };
    }

    private Road Patch()
    {
        var resource = Aim("Observation");
        return _random.Next(2) == 0
            ? new("JSON Patch", HttpMethod.Patch, $"Observation/{{{resource.Label}}}", Pick("""[{"op":"replace","path":"/status","value":"amended"}]""", """[{"op":"test","path":"/status","value":"final"}]""", """[{"op":"remove","path":"/nothing"}]"""), "application/json-patch+json")
            : new("FHIRPath Patch", HttpMethod.Patch, $"Observation/{{{resource.Label}}}", """{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}]}""");
    }

    private Road Bundle()
    {
        var isBatch = _random.Next(2) == 0;
        var entries = new JsonArray();
        var count = 1 + _random.Next(3);
        // Entries of a batch run at once: beside one that writes stand reads that it does not touch, for either order would be right.
        var writing = isBatch ? _random.Next(count + 1) : count;
        for (var i = 0; i < count; i++)
            entries.Add(!isBatch ? Any(_random.Next(6), i) : i == writing ? Any(2 + _random.Next(4), i) : writing < count ? Elsewhere() : Any(_random.Next(2), i));
        return new(!isBatch ? "transaction" : writing < count ? "batch that writes" : "batch", HttpMethod.Post, "", new JsonObject { ["resourceType"] = "Bundle", ["type"] = isBatch ? "batch" : "transaction", ["entry"] = entries }.ToJsonString());

        JsonObject Any(int kind, int at)
        {
            var resource = Aim("Observation");
            return kind switch
            {
                0 => Entry("GET", $"Observation/{{{resource.Label}}}"),
                1 => Entry("GET", $"Observation?patient={{patient}}&code={Code()}"),
                2 => Entry("POST", "Observation", Note(null, focus: Aim(null)), $"urn:uuid:00000000-0000-4000-8000-00000000000{at}"),
                3 => Entry("DELETE", $"Observation/{{{resource.Label}}}"),
                4 => Entry("POST", "Observation", Note(null, conditionalFocus: $"Observation?identifier=urn:matrix|{Pick("h", "v")}{_random.Next(6)}"), $"urn:uuid:00000000-0000-4000-8000-00000000001{at}"),
                _ => Entry("PUT", $"Observation?patient={{patient}}&identifier=urn:matrix|h{_random.Next(6)}", Note(null), $"urn:uuid:00000000-0000-4000-8000-00000000002{at}"),
            };
        }

        JsonObject Elsewhere() => Aim(Pick("Condition", "Procedure", "AllergyIntolerance")) is { Type: not "Observation" } other && _random.Next(2) == 0
            ? Entry("GET", $"{other.Type}/{{{other.Label}}}")
            : Entry("GET", $"{Pick("Condition", "Procedure", "AllergyIntolerance")}?patient={{patient}}&code={Code()}");

        static JsonObject Entry(string method, string url, string? body = null, string? fullUrl = null)
        {
            var entry = new JsonObject { ["request"] = new JsonObject { ["method"] = method, ["url"] = url } };
            if (body is not null)
                entry["resource"] = JsonNode.Parse(body);
            if (fullUrl is not null)
                entry["fullUrl"] = fullUrl;
            return entry;
        }
    }

    private Road Error() => _random.Next(6) switch
    {
        0 => new("error", HttpMethod.Get, $"Observation?encounter={Encounter()}"),
        1 => new("error", HttpMethod.Get, "Observation?patient={patient}&_page=AAAA"),
        2 => new("error", HttpMethod.Get, $"Observation/{{{Aim(null).Label}}}/_history/00000000-0000-4000-8000-000000000000"),
        3 => new("error", HttpMethod.Put, $"Observation/{{{Aim("Observation").Label}}}", "{\"resourceType\":\"Observation\""),
        4 => new("error", HttpMethod.Get, $"{Type()}/{{{Aim(null).Label}}}/$nothing"),
        _ => new("error", HttpMethod.Get, $"Observation/{{{Aim(null).Label}}}?nonsense=1", Headers: [("Accept", Pick("text/html", "application/fhir+xml", "application/fhir+json"))]),
    };

    private string Note(string? label, PlannedResource? focus = null, string? encounter = null, string? conditionalFocus = null)
    {
        var note = new JsonObject
        {
            ["resourceType"] = "Observation", ["status"] = "final",
            ["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = Code() }) },
            ["subject"] = new JsonObject { ["reference"] = "Patient/{patient}" },
            ["encounter"] = new JsonObject { ["reference"] = "Encounter/" + (encounter ?? "{own}") },
            ["identifier"] = new JsonArray(new JsonObject { ["system"] = "urn:matrix", ["value"] = "n" + _random.Next(6).ToString(CultureInfo.InvariantCulture) }),
        };
        if (label is not null)
            note["id"] = $"{{{label}}}";
        if (conditionalFocus is not null || focus is not null)
            note["focus"] = new JsonArray(new JsonObject { ["reference"] = conditionalFocus ?? $"{focus!.Type}/{{{focus.Label}}}" });
        return note.ToJsonString();
    }

    /// <summary>A resource, hidden as often as not.</summary>
    private PlannedResource Aim(string? type)
    {
        var wantsHidden = _random.Next(2) == 0;
        PlannedResource[] fitting = [.. plan.Resources.Where(r => r.IsHidden == wantsHidden && (type is null || r.Type == type))];
        return fitting.Length == 0 ? plan.Resources[_random.Next(plan.Resources.Count)] : fitting[_random.Next(fitting.Length)];
    }

    private string Label() => $"{{{Aim(null).Label}}}";

    private string Encounter() => Pick("{denied}", "{visit0}", "{own}");

    private string Type() => Pick(Types);

    private string Code() => Pick(RecordPlan.Codes);

    private string Word() => Pick(RecordPlan.Words);

    private T Pick<T>(params T[] values) => values[_random.Next(values.Length)];
}
