using System.Collections;
using Hl7.Fhir.Introspection;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Formats;

/// <summary>Cuts each shown resource down to what a <see cref="Presentation"/> shows of it, and marks it as cut.</summary>
/// <remarks>
/// hl7.org/fhir/R4/search.html#elements: mandatory elements stay; names without a type cut what was asked for and not what
/// was included. What changes the meaning of the rest (<c>implicitRules</c>, <c>modifierExtension</c>) stays too.
/// </remarks>
public static class Subset
{
    private const string TagSystem = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", TagCode = "SUBSETTED";

    /// <param name="resource">Is changed. Of a Bundle the resources in it are cut, not the Bundle.</param>
    /// <param name="isMatch">It is what was asked for, not what came along.</param>
    internal static void Cut(Resource resource, Presentation presentation, bool isMatch = true)
    {
        if (resource is Bundle bundle)
        {
            foreach (var entry in bundle.Entry)
                if (entry.Resource is { } inner)
                    Cut(inner, presentation, entry.Search?.Mode is null or Bundle.SearchEntryMode.Match);
            return;
        }
        if (resource is OperationOutcome or Parameters)
            return;
        var type = resource.TypeName;
        string[] named = [.. presentation.Elements.Where(e => !e.Contains('.')).Where(_ => isMatch),
            .. presentation.Elements.Where(e => e.StartsWith(type + ".", StringComparison.Ordinal)).Select(e => e[(type.Length + 1)..])];
        if (presentation.Elements.Count > 0 && named.Length == 0)
            return;
        Keep(resource, (name, property) => name is "id" or "meta" or "implicitRules" or "modifierExtension" || property?.IsMandatoryElement == true
            || presentation.Summary switch
            {
                SummaryMode.True => property?.InSummary == true,
                SummaryMode.Text => name == "text",
                SummaryMode.Data => name != "text",
                _ => named.Contains(name),
            });
        if (presentation.Summary == SummaryMode.True)
            KeepSummary(resource);
        // So that nobody writes the rest back as if it were all.
        (resource.Meta ??= new()).Tag.Add(new(TagSystem, TagCode));
    }

    /// <summary>Place in <c>meta.tag</c> of what marks a resource as a part of one; null: it is whole.</summary>
    public static int? TagOf(Resource resource) =>
        resource.Meta?.Tag.FindIndex(t => t is { System: TagSystem, Code: TagCode }) is >= 0 and var index ? index : null;

    /// <summary>An element of the summary may have elements that are none, such as the data of an attachment.</summary>
    private static void KeepSummary(Base parent)
    {
        foreach (var (_, value) in parent.EnumerateElements().ToList())
            foreach (var child in value is IList list ? list.OfType<Base>() : [.. new[] { value }.OfType<Base>()])
            {
                if (child is PrimitiveType or Extension or Resource)
                    continue;
                Keep(child, (name, property) => name == "modifierExtension" || property is null || property.InSummary || property.IsMandatoryElement);
                KeepSummary(child);
            }
    }

    private static void Keep(Base element, Func<string, PropertyMapping?, bool> keeps)
    {
        var mapping = ModelInfo.ModelInspector.FindClassMapping(element.GetType());
        foreach (var (name, _) in element.EnumerateElements().ToList())
            if (!keeps(name, mapping?.FindMappedElementByName(name)))
                element.SetValue(name, null);
    }
}
