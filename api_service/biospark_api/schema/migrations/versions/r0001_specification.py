"""The tables, indexes and agents of the specification, word by word."""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import Script

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE patients (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    date_of_birth DATE NOT NULL,
    email VARCHAR(255) UNIQUE,
    phone VARCHAR(20),
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE health_records (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    patient_id UUID REFERENCES patients(id),
    record_type VARCHAR(50) NOT NULL,
    data JSONB NOT NULL,
    recorded_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE agents (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL,
    type VARCHAR(50) NOT NULL,
    config JSONB,
    status VARCHAR(20) DEFAULT 'inactive',
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_patients_email ON patients(email);
CREATE INDEX idx_health_records_patient_id ON health_records(patient_id);
CREATE INDEX idx_health_records_recorded_at ON health_records(recorded_at);
CREATE INDEX idx_agents_type ON agents(type);
CREATE INDEX idx_agents_status ON agents(status);
CREATE INDEX idx_health_records_data_gin ON health_records USING GIN (data);
"""

_AGENTS = """
INSERT INTO agents (name, type, config, status) VALUES
('Analyst Agent', 'analyst', '{"version": "1.0", "capabilities": ["data_analysis", "reporting"]}', 'active'),
('Architect Agent', 'architect', '{"version": "1.0", "capabilities": ["system_design", "optimization"]}', 'active'),
('Developer Agent', 'developer', '{"version": "1.0", "capabilities": ["code_generation", "testing"]}', 'active'),
('Orchestrator Agent', 'orchestrator',
 '{"version": "1.0", "capabilities": ["workflow_management", "coordination"]}', 'active');
"""

STEPS = (Script(_TABLES), Script(_AGENTS))


def upgrade(*, context: MigrationContext) -> None:
    """Create them."""
    steps.run(STEPS, context)
