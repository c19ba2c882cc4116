using System.Collections;
using System.Reflection;
using System.Text;
using System.Text.Json.Nodes;
using Hl7.Fhir.Introspection;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir;

/// <summary>
/// The least that makes a valid resource of a type: the elements that R4 makes mandatory, what its invariants ask beside
/// them, and the patient that it is about.
/// </summary>
static class MinimalResources
{
    private static readonly ModelInspector Model = ModelInfo.ModelInspector;

    // In this order where a choice is open.
    private static readonly Type[] Simplest = [typeof(CodeableConcept), typeof(FhirString), typeof(FhirDateTime), typeof(Date), typeof(FhirBoolean), typeof(ResourceReference)];

    /// <summary>The smallest resource of a type.</summary>
    /// <param name="type">A served type.</param>
    /// <param name="patient">Logical id of the patient; not used for directory types.</param>
    /// <param name="identityCode">Personal identity code, of a Patient.</param>
    /// <returns>Without an id: what a client would create.</returns>
    public static JsonObject Of(string type, string patient, string? identityCode = null)
    {
        var resource = (Resource)Fill(Model.FindClassMapping(type)!, patient);
        if (ResourceTypes.PlaceOf(type) == ResourcePlace.Patient && type != "Patient" && !RefersTo(resource, patient))
            Refer(resource, ResourceTypes.SubjectElements(type)[0].Split('.')[1..], "Patient/" + patient, patient);
        if (resource is Patient person)
            person.Identifier = [new("urn:oid:1.2.246.21", identityCode)];
        if (resource is Binary binary)
            (binary.SecurityContext, binary.ContentType) = (new("Patient/" + patient), "text/plain");
        Complete(resource);
        return JsonNode.Parse(Encoding.UTF8.GetString(ResourceParser.Serialize(resource)))!.AsObject();
    }

    /// <summary>The smallest resource that also refers to another.</summary>
    /// <param name="path">Element names from the type to the reference, such as <c>Encounter.participant.individual</c>.</param>
    /// <param name="target">Literal of the reference, <c>Type/id</c>, or a canonical URL.</param>
    /// <param name="cast">Which type the element is to have, where it may have several; null: a reference.</param>
    public static JsonObject Referring(string type, string patient, string path, string target, string? identityCode = null, string? cast = null)
    {
        var (resource, fault) = ResourceParser.Parse(Encoding.UTF8.GetBytes(Of(type, patient, identityCode).ToJsonString()));
        Assert.Null(fault);
        Refer(resource!, path.Split('.')[1..], target, patient, cast);
        Complete(resource!);
        return JsonNode.Parse(Encoding.UTF8.GetString(ResourceParser.Serialize(resource!)))!.AsObject();
    }

    /// <summary>What invariants ask for where nothing is mandatory, each by its key.</summary>
    private static void Complete(Resource resource)
    {
        switch (resource)
        {
            case AllergyIntolerance allergy: // ait-1
                allergy.ClinicalStatus = new("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active");
                break;
            case ConceptMap map: // an element that is mandatory and in which nothing is
                foreach (var element in map.Group.SelectMany(g => g.Element).Where(e => !e.EnumerateElements().Any()))
                    element.Code = "x";
                break;
            case Hl7.Fhir.Model.Consent consent: // ppc-1
                consent.PolicyRule = new("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN");
                break;
            case ImmunizationRecommendation recommendation: // imr-1
                recommendation.Recommendation[0].TargetDisease = new() { Text = "x" };
                break;
            case Organization organization: // org-1
                organization.Name = "x";
                break;
            case RequestGroup group: // rqg-1
                foreach (var action in group.Action.Where(a => a.Action.Count == 0))
                    action.Resource ??= new() { Display = "x" };
                break;
        }
        // FHIR has no resource without any element.
        if (!resource.EnumerateElements().Any())
            resource.Language = "fi";
    }

    private static Base Fill(ClassMapping mapping, string patient)
    {
        var filled = (Base)Activator.CreateInstance(mapping.NativeType)!;
        foreach (var property in mapping.PropertyMappings.Where(p => p.IsMandatoryElement))
            Set(filled, property, Value(property, patient));
        return filled;
    }

    private static object Value(PropertyMapping property, string patient)
    {
        var types = property.FhirType;
        var type = property.Choice == ChoiceType.DatatypeChoice ? Simplest.FirstOrDefault(s => types.Length == 0 || types.Contains(s)) ?? types[0]
            : property.ImplementingType;
        if (type == typeof(ResourceReference))
            return property.NativeProperty?.GetCustomAttribute<ReferencesAttribute>()?.Resources?.Contains("Patient") == true
                ? new ResourceReference("Patient/" + patient)
                : new ResourceReference { Display = "x" };
        return Value(type, patient);
    }

    private static object Value(Type type, string patient) => type switch
    {
        _ when type.IsGenericType && type.GetGenericTypeDefinition() == typeof(Code<>) =>
            Activator.CreateInstance(type, Enum.GetValues(type.GetGenericArguments()[0]).GetValue(0))!,
        _ when type == typeof(FhirString) => new FhirString("x"),
        _ when type == typeof(Markdown) => new Markdown("x"),
        _ when type == typeof(Code) => new Code("x"),
        _ when type == typeof(Id) => new Id("x"),
        _ when type == typeof(FhirUri) => new FhirUri("urn:oid:1.2.3"),
        _ when type == typeof(FhirUrl) => new FhirUrl("https://example.org/x"),
        _ when type == typeof(Canonical) => new Canonical("https://example.org/x"),
        _ when type == typeof(FhirBoolean) => new FhirBoolean(true),
        _ when type == typeof(Integer) => new Integer(1),
        _ when type == typeof(PositiveInt) => new PositiveInt(1),
        _ when type == typeof(UnsignedInt) => new UnsignedInt(1),
        _ when type == typeof(FhirDecimal) => new FhirDecimal(1),
        _ when type == typeof(Date) => new Date("2026-01-01"),
        _ when type == typeof(FhirDateTime) => new FhirDateTime("2026-01-01"),
        _ when type == typeof(Instant) => new Instant(new DateTimeOffset(2026, 1, 1, 8, 0, 0, TimeSpan.FromHours(2))),
        _ when type == typeof(CodeableConcept) => new CodeableConcept { Text = "x" },
        _ when type == typeof(Coding) => new Coding("https://example.org/codes", "x"),
        _ when type == typeof(Identifier) => new Identifier("https://example.org/ids", "x"),
        _ when type == typeof(Quantity) => new Quantity(1, "mg"),
        _ when type == typeof(Money) => new Money { Value = 1, Currency = Money.Currencies.EUR },
        _ when type == typeof(Period) => new Period { Start = "2026-01-01" },
        _ when type == typeof(Attachment) => new Attachment { ContentType = "text/plain", Title = "x" },
        _ when type == typeof(Narrative) => new Narrative("<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>") { Status = Narrative.NarrativeStatus.Generated },
        _ => Fill(Model.FindClassMapping(type)!, patient),
    };

    private static void Set(Base element, PropertyMapping property, object value)
    {
        if (!property.IsCollection)
        {
            element.SetValue(property.Name, value);
            return;
        }
        var list = (IList)Activator.CreateInstance(typeof(List<>).MakeGenericType(property.ImplementingType))!;
        list.Add(value);
        element.SetValue(property.Name, list);
    }

    private static bool RefersTo(Resource resource, string patient) =>
        ResourceParser.Serialize(resource).AsSpan().IndexOf(Encoding.UTF8.GetBytes($"\"Patient/{patient}\"")) >= 0;

    /// <summary>Puts a reference at a path of element names.</summary>
    private static void Refer(Base element, ReadOnlySpan<string> path, string target, string patient, string? cast = null)
    {
        var property = Model.FindClassMapping(element.GetType())!.FindMappedElementByName(path[0])!;
        if (path.Length == 1)
        {
            Set(element, property, LinkOf(property, target, cast));
            return;
        }
        var child = element.TryGetValue(path[0], out var present) ? present is IList list ? (Base)list[0]! : (Base)present : null;
        if (child is null)
            Set(element, property, child = Fill(property.PropertyTypeMapping, patient));
        Refer(child, path[1..], target, patient, cast);
    }

    private static DataType LinkOf(PropertyMapping property, string target, string? cast) => (cast, property.ImplementingType.Name) switch
    {
        ("uri", _) => new FhirUri(target),
        ("canonical", _) or (_, nameof(Canonical)) => new Canonical(target),
        (_, nameof(FhirUri)) => new FhirUri(target),
        _ => new ResourceReference(target),
    };
}
