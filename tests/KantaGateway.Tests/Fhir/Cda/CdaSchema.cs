using System.Xml.Linq;

namespace KantaGateway.Tests.Fhir.Cda;

/// <summary>The order of elements that CDA R2 prescribes (POCD_MT000040 and NarrativeBlock of the 2005 schema), as far as the documents that are written here use it.</summary>
static class CdaSchema
{
    // With ! what must be there.
    private static readonly Dictionary<string, string> Children = new()
    {
        ["ClinicalDocument"] = "realmCode typeId! templateId id! code! title effectiveTime! confidentialityCode! languageCode setId versionNumber copyTime recordTarget! author! dataEnterer informant custodian! informationRecipient legalAuthenticator authenticator participant inFulfillmentOf documentationOf relatedDocument authorization componentOf localHeader component!",
        ["recordTarget"] = "patientRole!",
        ["patientRole"] = "id! addr telecom patient providerOrganization",
        ["patient"] = "id name administrativeGenderCode birthTime maritalStatusCode",
        ["author"] = "functionCode time! assignedAuthor!",
        ["assignedAuthor"] = "id! code addr telecom assignedPerson representedOrganization",
        ["assignedEntity"] = "id! code addr telecom assignedPerson representedOrganization",
        ["assignedPerson"] = "name",
        ["representedOrganization"] = "id name telecom addr",
        ["custodian"] = "assignedCustodian!",
        ["assignedCustodian"] = "representedCustodianOrganization!",
        ["representedCustodianOrganization"] = "id! name telecom addr",
        ["legalAuthenticator"] = "time! signatureCode! assignedEntity!",
        ["authenticator"] = "time! signatureCode! assignedEntity!",
        ["relatedDocument"] = "parentDocument!",
        ["parentDocument"] = "id! code text setId versionNumber",
        ["componentOf"] = "encompassingEncounter!",
        ["encompassingEncounter"] = "id code effectiveTime!",
        ["localHeader"] = "documentType functionCode recordStatus",
        ["structuredBody"] = "component!",
        ["section"] = "templateId id code title text confidentialityCode languageCode subject author informant entry component",
        ["observation"] = "templateId id code! derivationExpr text statusCode effectiveTime priorityCode repeatNumber languageCode value interpretationCode methodCode targetSiteCode subject specimen performer author informant participant entryRelationship reference precondition referenceRange",
        ["substanceAdministration"] = "templateId id code text statusCode effectiveTime priorityCode repeatNumber routeCode approachSiteCode doseQuantity rateQuantity maxDoseQuantity administrationUnitCode consumable!",
        ["consumable"] = "manufacturedProduct!",
        ["manufacturedProduct"] = "manufacturedLabeledDrug!",
        ["manufacturedLabeledDrug"] = "code name",
        ["entryRelationship"] = "observation!",
        ["referenceRange"] = "observationRange!",
        ["observationRange"] = "code text value interpretationCode",
        ["code"] = "originalText qualifier translation",
        ["documentType"] = "originalText qualifier translation",
        ["effectiveTime"] = "low center width high",
        ["table"] = "caption col colgroup thead tfoot tbody!",
        ["thead"] = "tr!", ["tbody"] = "tr!", ["tfoot"] = "tr!",
        ["list"] = "caption item!",
    };

    // In any order.
    private static readonly Dictionary<string, string[]> Mixed = new()
    {
        ["text"] = ["content", "sub", "sup", "br", "paragraph", "list", "table"],
        ["paragraph"] = ["content", "sub", "sup", "br"], ["content"] = ["content", "sub", "sup", "br"], ["sub"] = [], ["sup"] = [], ["caption"] = ["content", "sub", "sup"],
        ["item"] = ["content", "sub", "sup", "br", "paragraph", "list", "table"], ["td"] = ["content", "sub", "sup", "br", "paragraph", "list", "table"], ["th"] = ["content", "sub", "sup", "br"], ["tr"] = ["td", "th"],
        ["name"] = ["prefix", "given", "family", "suffix"], ["addr"] = ["streetAddressLine", "postalCode", "city", "state", "country"],
    };

    /// <summary>What is not as the schema has it; nothing: all is.</summary>
    public static IEnumerable<string> Violations(XElement element)
    {
        var name = element.Name.LocalName;
        var inner = element.Elements().Select(static e => e.Name.LocalName).ToList();
        if (name is "entry" or "component")
        {
            if (inner.Count != 1)
                yield return $"{name} has {inner.Count} children";
        }
        else if (name == "value")
        {
            // By its type.
            if (inner.Except(["low", "high", "originalText", "translation"]).Any())
                yield return $"value has {string.Join(' ', inner)}";
        }
        else if (name == "text" && element.Parent?.Name.LocalName is "substanceAdministration" or "observationRange" || !Children.ContainsKey(name) && !Mixed.ContainsKey(name))
        {
            if (inner.Count > 0)
                yield return $"{element.Parent?.Name.LocalName}/{name} has {string.Join(' ', inner)}";
        }
        else if (Mixed.TryGetValue(name, out var any))
        {
            if (inner.Except(any).Any())
                yield return $"{name} has {string.Join(' ', inner.Except(any))}";
        }
        else
        {
            var order = Children[name].Split(' ');
            var places = inner.Select(i => Array.FindIndex(order, o => o.TrimEnd('!') == i)).ToList();
            if (places.Contains(-1) || !places.SequenceEqual(places.Order()))
                yield return $"{name} has {string.Join(' ', inner)}";
            foreach (var missing in order.Where(o => o.EndsWith('!') && !inner.Contains(o[..^1])))
                yield return $"{name} has no {missing[..^1]}";
        }
        foreach (var violation in element.Elements().SelectMany(Violations))
            yield return violation;
    }
}
