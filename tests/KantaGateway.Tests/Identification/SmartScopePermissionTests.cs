using KantaGateway.Gateway.Identification;

namespace KantaGateway.Tests.Identification;

/// <summary>SMART v2 scopes (HL7 SMART App Launch 2.2).</summary>
public class SmartScopePermissionTests
{
    [Theory]
    [InlineData("system/*.cruds", "system", "Observation", 'c', true)]
    [InlineData("system/Observation.rs", "system", "Observation", 's', true)]
    [InlineData("system/Observation.rs", "system", "Observation", 'c', false)]
    [InlineData("system/Observation.rs", "system", "Patient", 'r', false)]
    [InlineData("user/*.cruds", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.read", "system", "Observation", 's', false)]
    [InlineData("other/Observation.rs", "other", "Observation", 'r', false)]
    [InlineData("system/Observation.sr", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.rs?category=laboratory", "system", "Observation", 'r', true)]
    [InlineData("system/Observation.rs?_id=laboratory", "system", "Observation", 'r', false)]
    [InlineData("system/Observation.", "system", "Observation", 'r', false)]
    [InlineData("openid", "system", "Observation", 'r', false)]
    public void Permits(string scope, string level, string type, char letter, bool permits) =>
        Assert.Equal(permits, SmartScope.ParseAll([scope]).Any(s => s.Permits(level, type, letter)));
}
