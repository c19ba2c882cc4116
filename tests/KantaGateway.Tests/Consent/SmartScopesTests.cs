using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>SMART v2 scopes (HL7 SMART App Launch 2.2).</summary>
public class SmartScopesTests
{
    [Theory]
    [InlineData("system/*.cruds", "system", "Observation", 'c', true)]
    [InlineData("system/Observation.rs", "system", "Observation", 's', true)]
    [InlineData("system/Observation.rs", "system", "Observation", 'c', false)]
    [InlineData("system/Observation.rs", "system", "Patient", 'r', false)]
    [InlineData("user/*.cruds", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.read", "system", "Observation", 's', true)]
    [InlineData("system/Observation.write", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.sr", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.rs?category=laboratory", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.", "system", "Observation", 'r', false)]
    [InlineData("openid", "system", "Observation", 'r', false)]
    public void Reach(string scope, string level, string type, char letter, bool reaches) =>
        Assert.Equal(reaches, SmartScopes.Reach([scope], level, type, letter));
}
