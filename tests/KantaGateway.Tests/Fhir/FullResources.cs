using System.Collections;
using System.Reflection;
using Hl7.Fhir.Introspection;
using Hl7.Fhir.Model;

namespace KantaGateway.Tests.Fhir;

/// <summary>Resources in which every element has a value, most of them no sensible one: what a path may lead to is there.</summary>
static class FullResources
{
    private const int Depth = 5;

    private static readonly ModelInspector Model = ModelInfo.ModelInspector;

    /// <param name="variant">Of a choice of types the one at this place, counted round.</param>
    public static Resource Of(string type, int variant)
    {
        var filled = (Resource)Fill(Model.FindClassMapping(type)!, variant, Depth);
        // Of extensions those that a parameter leads to (IHE MHD).
        if (filled is List list)
        {
            list.AddExtension("https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType", new CodeableConcept("http://example.org/1", $"c{variant}"));
            list.AddExtension("https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId", new Identifier("urn:oid:1.2", $"i{variant}"));
        }
        return filled;
    }

    private static Base Fill(ClassMapping mapping, int variant, int depth)
    {
        var filled = (Base)Activator.CreateInstance(mapping.NativeType)!;
        foreach (var property in mapping.PropertyMappings.Where(p => p.Name is not ("extension" or "modifierExtension" or "contained" or "id")))
        {
            if (Value(property, variant, depth) is not { } value)
                continue;
            if (property.IsCollection)
            {
                var list = (IList)Activator.CreateInstance(typeof(List<>).MakeGenericType(property.ImplementingType.IsAbstract ? value.GetType() : property.ImplementingType))!;
                list.Add(value);
                if (Value(property, variant + 1, depth) is { } another && property.ImplementingType.IsInstanceOfType(another))
                    list.Add(another);
                filled.SetValue(property.Name, list);
            }
            else
                filled.SetValue(property.Name, value);
        }
        return filled;
    }

    private static Base? Value(PropertyMapping property, int variant, int depth)
    {
        var choices = property.FhirType.Where(t => t.IsSubclassOf(typeof(DataType)) && !t.IsAbstract).ToArray();
        var type = property.Choice == ChoiceType.DatatypeChoice && choices.Length > 0 ? choices[variant % choices.Length] : property.ImplementingType.IsAbstract && choices.Length > 0 ? choices[0] : property.ImplementingType;
        if (type.IsAbstract || type.IsSubclassOf(typeof(Resource)))
            return null;
        if (type == typeof(ResourceReference))
        {
            var targets = property.NativeProperty?.GetCustomAttributes<ReferencesAttribute>().LastOrDefault()?.Resources is { Length: > 0 } named && named[0] != "Resource" ? named : ["Patient", "Encounter"];
            return new ResourceReference($"{targets[variant % targets.Length]}/r{variant}") { Identifier = new("urn:oid:1.2", $"i{variant}") };
        }
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(Code<>))
        {
            var values = Enum.GetValues(type.GetGenericArguments()[0]);
            return (Base)Activator.CreateInstance(type, values.GetValue(variant % values.Length))!;
        }
        Base? primitive = type switch
        {
            _ when type == typeof(FhirString) => new FhirString($"Äiti {variant}"),
            _ when type == typeof(Markdown) => new Markdown($"text {variant}"),
            _ when type == typeof(XHtml) => new XHtml($"<div xmlns=\"http://www.w3.org/1999/xhtml\">text {variant}</div>"),
            _ when type == typeof(Code) => new Code(property.Name is "contentType" or "payloadMimeType" or "targetFormat" or "sigFormat" ? $"text/plain;v={variant}" : $"c{variant}"),
            _ when type == typeof(Id) => new Id($"i{variant}"),
            _ when type == typeof(FhirUri) => new FhirUri($"http://example.org/{variant}"),
            _ when type == typeof(FhirUrl) => new FhirUrl($"http://example.org/{variant}"),
            _ when type == typeof(Canonical) => new Canonical($"http://example.org/{variant}|1"),
            _ when type == typeof(FhirBoolean) => new FhirBoolean(variant % 2 == 0),
            _ when type == typeof(Integer) => new Integer(variant),
            _ when type == typeof(PositiveInt) => new PositiveInt(variant + 1),
            _ when type == typeof(UnsignedInt) => new UnsignedInt(variant),
            _ when type == typeof(FhirDecimal) => new FhirDecimal(variant + 0.5m),
            _ when type == typeof(Date) => new Date($"202{variant % 10}-01-01"),
            _ when type == typeof(FhirDateTime) => new FhirDateTime($"202{variant % 10}-01-01T10:00:00+02:00"),
            _ when type == typeof(Instant) => new Instant(new DateTimeOffset(2020 + variant % 10, 1, 1, 8, 0, 0, TimeSpan.Zero)),
            _ when type == typeof(Oid) => new Oid($"urn:oid:1.2.{variant}"),
            _ => null,
        };
        return primitive ?? (depth == 0 || type.IsSubclassOf(typeof(PrimitiveType)) || Model.FindClassMapping(type) is not { } mapping ? null : Fill(mapping, variant, depth - 1));
    }
}
