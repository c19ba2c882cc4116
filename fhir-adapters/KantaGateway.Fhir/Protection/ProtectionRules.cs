using System.Collections.Frozen;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Fhir.Protection;

/// <summary>
/// By which codes an entry shows that it is of a specially protected service: a table that an operator may replace. Immutable; thread-safe.
/// </summary>
/// <remarks>
/// Act 703/2023 §26.2, decree 457/2024 §26 say which services; the codes of each are rules, and each rule names its source. A label in
/// <c>meta.security</c> that no rule and no neutral line names is protected as <see cref="ProtectedService.Unknown"/>: what is unknown is denied. Other
/// codes of services, specialities and documents protect nothing, for there are thousands of them.
/// </remarks>
public sealed class ProtectionRules
{
    /// <summary>Where a rule looks.</summary>
    private enum Place
    {
        /// <summary><c>meta.security</c>.</summary>
        Label,

        /// <summary>Kind of service: of an Encounter, Appointment, EpisodeOfCare or HealthcareService.</summary>
        Service,

        /// <summary>Speciality: of an Appointment, PractitionerRole or HealthcareService, practice setting of a DocumentReference.</summary>
        Specialty,

        /// <summary>Type and category of a DocumentReference or Composition.</summary>
        Document,

        /// <summary>Who keeps the register or writes into it, by its OID: a practice that does nothing else, whatever its system labels.</summary>
        Controller,
    }

    private sealed record Rule(Place Where, ProtectedService Service, string System, FrozenSet<string> Codes);

    private static readonly Lazy<ProtectionRules> Embedded = new(() =>
    {
        using var stream = typeof(ProtectionRules).Assembly.GetManifestResourceStream("protected-services.json") ?? throw new InvalidOperationException("The rules of protected services are not embedded.");
        return Read(stream);
    });

    private readonly ILookup<Place, Rule> _rules;
    private readonly Rule[] _neutral;

    private ProtectionRules(IEnumerable<Rule> rules, Rule[] neutral) => (_rules, _neutral) = (rules.ToLookup(r => r.Where), neutral);

    /// <summary>Those that come with the product.</summary>
    public static ProtectionRules Default => Embedded.Value;

    /// <summary>Reads a table of the form of <c>protected-services.json</c>.</summary>
    /// <exception cref="InvalidDataException">It is not one; the message names the rule. A rule that cannot be read would protect nothing.</exception>
    public static ProtectionRules Read(Stream json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            Rule[] rules = [.. document.RootElement.GetProperty("rules").EnumerateArray().Select((r, i) => ReadRule(r, i, isNeutral: false))];
            return new(rules, [.. document.RootElement.GetProperty("neutral").EnumerateArray().Select((r, i) => ReadRule(r, i, isNeutral: true))]);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new InvalidDataException("The rules of protected services cannot be read: an object with rules and neutral is expected.", e);
        }
    }

    /// <summary>The rules of a deployment, which gateway and repository read alike.</summary>
    /// <param name="services">File of the rules; null: those that come with the product.</param>
    /// <param name="practices">File of rules beside them, of practices that are wholly one service; null: none.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static ProtectionRules Of(string? services, string? practices)
    {
        var rules = services is null ? Default : Read(services);
        return practices is null ? rules : rules.And(Read(practices));

        static ProtectionRules Read(string file)
        {
            using var stream = File.OpenRead(file);
            return ProtectionRules.Read(stream);
        }
    }

    /// <summary>These rules and others beside them.</summary>
    public ProtectionRules And(ProtectionRules others) => new(_rules.Concat(others._rules).SelectMany(static r => r), [.. _neutral, .. others._neutral]);

    /// <summary>What everything is of that an organisation records, in whosever register.</summary>
    /// <param name="oid">Dotted.</param>
    public ProtectedService OfController(string oid)
    {
        var services = ProtectedService.None;
        foreach (var rule in _rules[Place.Controller])
            if (rule.Codes.Contains(oid))
                services |= rule.Service;
        return services;
    }

    /// <summary>What a resource says of who may be shown it.</summary>
    /// <param name="resource">As it is stored.</param>
    /// <param name="ofReferences">Services of the directory entries that it refers to, a PractitionerRole or HealthcareService, of its controller and of who writes it.</param>
    /// <returns>Null: nothing. <see cref="EntryLabels.About"/> is left to the caller.</returns>
    public EntryLabels? LabelsOf(Resource resource, ProtectedService ofReferences = ProtectedService.None)
    {
        var labels = new EntryLabels
        {
            Services = ServicesOf(resource) | ofReferences,
            Custodians = CustodiansOf(resource),
            ReleasedAt = ReleaseOf(resource),
            IsDelayed = resource.Meta?.Security.Exists(s => s.System is { } system && system.EndsWith(ReleaseLabels, StringComparison.Ordinal) && s.Code != "2") == true,
            IsForm = SignedForms.Says(resource),
            Restricts = AccessRestrictions.Says(resource),
            IsRequest = RectificationRequests.Says(resource),
        };
        return labels.IsNone ? null : labels;
    }

    /// <summary>Of which services a resource shows itself to be. The same as <see cref="LabelsOf"/> says, of JSON as it is stored.</summary>
    public ProtectedService ServicesOf(JsonElement resource)
    {
        var services = ProtectedService.None;
        foreach (var label in At(resource, "meta", "security"))
            services |= OfLabel(Text(label, "system"), Text(label, "code"));
        if (Text(resource, "resourceType") is { } type && Elements.TryGetValue(type, out var elements))
            foreach (var (where, path) in elements)
                foreach (var coding in At(resource, [.. path, "coding"]))
                    services |= Of(where, Text(coding, "system"), Text(coding, "code"));
        foreach (var inner in At(resource, "contained"))
            services |= ServicesOf(inner);
        return services;
    }

    private ProtectedService ServicesOf(Resource resource)
    {
        var services = ProtectedService.None;
        foreach (var label in resource.Meta?.Security ?? [])
            services |= OfLabel(label.System, label.Code);
        if (Elements.TryGetValue(resource.TypeName, out var elements))
            foreach (var (where, path) in elements)
                foreach (var coding in At(resource, path).OfType<CodeableConcept>().SelectMany(static concept => concept.Coding))
                    services |= Of(where, coding.System, coding.Code);
        if (resource is DomainResource { Contained: { Count: > 0 } contained })
            foreach (var inner in contained)
                services |= ServicesOf(inner);
        return services;
    }

    /// <summary>Where the codes of services, specialities and documents stand, by type: paths to a CodeableConcept or several.</summary>
    private static readonly FrozenDictionary<string, (Place Where, string[] Path)[]> Elements = new Dictionary<string, (Place, string[])[]>
    {
        ["Encounter"] = [(Place.Service, ["type"]), (Place.Service, ["serviceType"])],
        ["Appointment"] = [(Place.Service, ["serviceCategory"]), (Place.Service, ["serviceType"]), (Place.Specialty, ["specialty"])],
        ["EpisodeOfCare"] = [(Place.Service, ["type"])],
        ["HealthcareService"] = [(Place.Service, ["category"]), (Place.Service, ["type"]), (Place.Specialty, ["specialty"])],
        ["PractitionerRole"] = [(Place.Specialty, ["specialty"])],
        ["DocumentReference"] = [(Place.Document, ["type"]), (Place.Document, ["category"]), (Place.Specialty, ["context", "practiceSetting"])],
        ["Composition"] = [(Place.Document, ["type"]), (Place.Document, ["category"])],
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static IEnumerable<object> At(Resource resource, string[] path)
    {
        IEnumerable<object> at = [resource];
        foreach (var name in path)
            at = at.SelectMany(element => element is Base holder && holder.TryGetValue(name, out var value) ? value as IEnumerable<object> ?? [value] : []);
        return at;
    }

    private static IEnumerable<JsonElement> At(JsonElement resource, params string[] path)
    {
        IEnumerable<JsonElement> at = [resource];
        foreach (var name in path)
            at = at.SelectMany(element => element.ValueKind != JsonValueKind.Object || !element.TryGetProperty(name, out var value) ? []
                : value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : (IEnumerable<JsonElement>)[value]);
        return at;
    }

    private static string? Text(JsonElement holder, string name) =>
        holder.ValueKind == JsonValueKind.Object && holder.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private ProtectedService OfLabel(string? system, string? code)
    {
        var services = Of(Place.Label, system, code);
        return services != 0 || Array.Exists(_neutral, n => InformationCustodian.IsOf(system, n.System) && code is not null && n.Codes.Contains(code)) ? services : ProtectedService.Unknown;
    }

    private ProtectedService Of(Place where, string? system, string? code)
    {
        var services = ProtectedService.None;
        if (system is not null && code is not null)
            foreach (var rule in _rules[where])
                if (rule.Codes.Contains(code) && InformationCustodian.IsOf(system, rule.System))
                    services |= rule.Service;
        return services;
    }

    // :: custodians and release

    /// <summary>THL, disclosure of a minor's patient data to custodians; editions have a date as a further node.</summary>
    private const string CustodianSystem = "urn:oid:1.2.246.537.5.40202";

    private const string ReleaseLabels = "/fi-base-release-for-patient-viewing-cs";

    // By their last part: they were published under several bases.
    private const string RestrictionParent = "/RestrictionParent", ReleaseDate = "/ReleaseDateForPatientViewing";

    private static CustodianAccess CustodiansOf(Resource resource)
    {
        Coding[] said = [.. (resource.Meta?.Security ?? []).Where(s => InformationCustodian.IsOf(s.System, CustodianSystem)),
            .. ExtensionsOf(resource, RestrictionParent).Select(e => e.Value as Coding ?? new Coding())];
        return said.Length == 0 ? CustodianAccess.Unstated
            : Array.TrueForAll(said, s => InformationCustodian.IsOf(s.System, CustodianSystem) && s.Code is "1" or "2") ? CustodianAccess.Shown : CustodianAccess.Hidden;
    }

    private static long? ReleaseOf(Resource resource)
    {
        long? latest = null;
        foreach (var extension in ExtensionsOf(resource, ReleaseDate))
        {
            // Of a month or a year, its end: the day is not known before.
            var at = (extension.Value as PrimitiveType)?.JsonValue is not string text || !TimeRange.TryParse(text, out var range) ? EntryLabels.Never
                : text.Length >= "2026-01-01".Length ? range.Start : range.End;
            latest = Math.Max(latest ?? long.MinValue, Math.Max(at, 1));
        }
        return latest;
    }

    private static IEnumerable<Extension> ExtensionsOf(Resource resource, string name) => resource is Provenance or Appointment
        ? ((DomainResource)resource).Extension.Where(e => e.Url?.EndsWith(name, StringComparison.Ordinal) == true) : [];

    // :: the table

    private static Rule ReadRule(JsonElement rule, int at, bool isNeutral)
    {
        var (where, service) = (Place.Label, ProtectedService.None);
        var fits = isNeutral || (Enum.TryParse(Text(rule, "where"), ignoreCase: true, out where) && Enum.TryParse(Text(rule, "service"), out service) && int.PopCount((int)service) == 1);
        if (!fits || Text(rule, "system") is not { Length: > 0 } system || Text(rule, "source") is not { Length: > 0 } || !rule.TryGetProperty("codes", out var listed) || listed.GetArrayLength() == 0)
            throw new InvalidDataException($"The rules of protected services cannot be read: {(isNeutral ? "neutral" : "rules")}[{at}] needs {(isNeutral ? "" : "where (label, service, specialty, document or controller), service (a name of ProtectedService), ")}system, codes and source.");
        return new(where, service, system, listed.EnumerateArray().Select(c => c.GetString()!).ToFrozenSet(StringComparer.Ordinal));
    }
}
