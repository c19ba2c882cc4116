using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Profiles;

/// <summary>Checks every identifier that claims to be a personal identity code, wherever in a resource it stands.</summary>
static class IdentityCodes
{
    public static void Check(Resource resource, List<FaultIssue> issues) =>
        ElementTree.Visit<Identifier>(resource, (identifier, path) =>
        {
            if (identifier.System != PersonalIdentityCode.System || issues.Count >= ResourceParser.MaxIssues)
                return;
            if (identifier.Value is null)
                issues.Add(new("An identifier with the system of personal identity codes has no value.", path.ToExpression("value"), "value"));
            else if (!PersonalIdentityCode.TryParse(identifier.Value, out _, out var error))
                issues.Add(new(Sentence(error), path.ToExpression("value"), "value"));
        });

    private static string Sentence(IdentityCodeError error) => "Not a personal identity code: " + error switch
    {
        IdentityCodeError.Length => "it has 11 characters, DDMMYYcZZZk.",
        IdentityCodeError.Date => "its first six characters are not a date, DDMMYY.",
        IdentityCodeError.CenturySign => "its seventh character is not a century sign.",
        IdentityCodeError.IndividualNumber => "its individual number is not between 002 and 999.",
        _ => "its check character is wrong.",
    };
}
