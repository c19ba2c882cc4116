using System.Xml.Linq;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Conventions;

/// <summary>Every rule of a decision says in its comment on what it rests.</summary>
public sealed class RuleTests
{
    private static readonly Dictionary<string, string> Comments = XDocument.Load(Path.Combine(AppContext.BaseDirectory, "KantaGateway.Gateway.xml"))
        .Descendants("member").ToDictionary(m => m.Attribute("name")!.Value, m => (string?)m.Element("summary") ?? "");

    public static TheoryData<Rule> Rules => [.. Enum.GetValues<Rule>()];

    [Theory, MemberData(nameof(Rules))]
    public void Every_rule_cites_its_section(Rule rule) => Assert.Matches("§\\d|EHDS Art|GDPR Art|Finnish base profiles", Comments[$"F:{typeof(Rule).FullName}.{rule}"]);
}
